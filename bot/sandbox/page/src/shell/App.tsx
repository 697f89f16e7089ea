import { useEffect, useRef, useState } from "react";
import { channelsOf, titleOf, unread } from "../state/messages";
import { markRead, readMark, useRemembered } from "../state/remembered";
import { go, readRoute, useHash } from "../state/route";
import { dismissToast, useApp } from "../state/store";
import { Line } from "../text/Text";
import type { Snapshot } from "../types";
import { Conversation } from "./Conversation";
import { Modals, Question } from "./Modals";
import { Sidebar } from "./Sidebar";
import { Thread } from "./Thread";

function Toasts() {
  const { toasts } = useApp();
  const box = useRef<HTMLDivElement>(null);
  // Reopened with each sentence, so that it is above modals that were opened meanwhile.
  useEffect(() => {
    box.current?.hidePopover();
    if (toasts.length > 0) box.current?.showPopover();
  }, [toasts]);
  return (
    <div className="toasts" role="alert" popover="manual" ref={box}>
      {toasts.map((toast) => (
        <div key={toast.id} className="toast" data-testid="toast">
          <span>{toast.text}</span>
          <button type="button" aria-label="Dismiss" onClick={() => dismissToast(toast.id)}>
            ✕
          </button>
        </div>
      ))}
    </div>
  );
}

/** The notice about the stand-ins; one line on a phone until it is expanded. */
function Notice({ text }: { text: string }) {
  const [short, setShort] = useState(true);
  return (
    <div className={short ? "notice short" : "notice"} role="note" data-testid="notice">
      <span className="notice-text">
        <Line text={text} />
      </span>
      <button type="button" className="notice-more" aria-expanded={!short} onClick={() => setShort(!short)}>
        {short ? "More" : "Less"}
      </button>
    </div>
  );
}

function Stopped() {
  return (
    <div className="stopped" role="alert" data-testid="stopped">
      The sandbox has stopped. Start it again with <code>make demo</code>.
    </div>
  );
}

/** Marks conversations that were never opened as read up to now, so that only new messages are unread. */
function useFirstMarks(snap: Snapshot): void {
  useEffect(() => {
    for (const channel of snap.channels) {
      if (readMark(snap.me, channel.id) === undefined) {
        markRead(snap.me, channel.id, snap.messages[channel.id]?.at(-1)?.ts ?? "0");
      }
    }
  }, [snap.me, snap.channels, snap.messages]);
}

function useTitle(snap: Snapshot, here: string): void {
  useRemembered();
  const channels = channelsOf(snap);
  const channel = channels.find((each) => each.id === here);
  const count = channels
    .filter((each) => each.id !== here)
    .reduce((sum, each) => sum + unread(snap, each, readMark(snap.me, each.id)).count, 0);
  const name = channel ? `${channel.kind === "channel" ? "#" : ""}${titleOf(snap, channel)}` : "";
  useEffect(() => {
    document.title = `${count > 0 ? `(${count}) ` : ""}${name} · ${snap.team.name}`;
  }, [count, name, snap.team.name]);
}

function Workspace({ snap }: { snap: Snapshot }) {
  const route = readRoute(useHash());
  const [menu, setMenu] = useState(false);
  const channels = channelsOf(snap);
  const channel = channels.find((each) => each.id === route.channel) ?? channels[0];
  useFirstMarks(snap);
  useTitle(snap, channel?.id ?? "");

  useEffect(() => {
    if (channel && channel.id !== route.channel) go({ channel: channel.id }, true);
  }, [channel, route.channel]);

  if (!channel) return <p className="empty">There is no channel here.</p>;
  return (
    <div className="workspace">
      <Sidebar here={channel.id} open={menu} onClose={() => setMenu(false)} />
      <Conversation channel={channel} route={route} onMenu={() => setMenu(true)} />
      {route.thread && <Thread channel={channel} root={route.thread} />}
      <Modals />
      <Question />
    </div>
  );
}

export function App() {
  const { snap, link } = useApp();
  return (
    <div className="app">
      {snap?.notice && <Notice text={snap.notice} />}
      {link === "gone" && <Stopped />}
      {snap ? <Workspace snap={snap} /> : link !== "gone" && <p className="empty">Opening the sandbox…</p>}
      <Toasts />
    </div>
  );
}
