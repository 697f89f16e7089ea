import { useState, type FormEvent } from "react";
import { channelsOf, titleOf } from "../state/messages";
import { forward } from "../state/server";
import { useSnap } from "../state/store";
import type { Message } from "../types";
import { Dialog } from "./Dialog";

/** Sends a message on to another conversation, with a comment. */
export function Forward({ message, onDone }: { message: Message; onDone(): void }) {
  const snap = useSnap();
  const rooms = channelsOf(snap);
  const [to, setTo] = useState(rooms.find((each) => each.id !== message.channel)?.id ?? message.channel);
  const [text, setText] = useState("");
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const answer = await forward(message, to, text.trim());
    if (answer.ok) onDone();
  };
  return (
    <Dialog label="Forward this message" testid="forward" className="narrow" onClose={onDone}>
      <form onSubmit={(event) => void submit(event)}>
        <header>
          <h2>Forward this message</h2>
        </header>
        <div className="dialog-body">
          <div className="blocks">
            <label className="input">
              <span className="input-label">To</span>
              <span className="select">
                <select data-testid="forward-to" value={to} onChange={(event) => setTo(event.target.value)}>
                  {rooms.map((room) => (
                    <option key={room.id} value={room.id}>
                      {room.kind === "channel" ? `#${room.name}` : titleOf(snap, room)}
                    </option>
                  ))}
                </select>
              </span>
            </label>
            <label className="input">
              <span className="input-label">
                Message<span className="optional"> (optional)</span>
              </span>
              <textarea
                className="field"
                rows={2}
                value={text}
                data-testid="forward-text"
                onChange={(event) => setText(event.target.value)}
              />
            </label>
          </div>
        </div>
        <footer>
          <button type="button" className="button" onClick={onDone}>
            Cancel
          </button>
          <button type="submit" className="button primary" data-testid="forward-send">
            Forward
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
