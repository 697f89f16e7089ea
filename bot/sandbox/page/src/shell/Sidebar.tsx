import { appName, channelsOf, titleOf, unread } from "../state/messages";
import { readMark, useRemembered } from "../state/remembered";
import { switchUser } from "../state/server";
import { useApp, useSnap } from "../state/store";
import type { Channel } from "../types";
import { Avatar } from "./Avatar";

function Room({ channel, here, onGo }: { channel: Channel; here: boolean; onGo(): void }) {
  const snap = useSnap();
  useRemembered();
  const { count, meant } = unread(snap, channel, readMark(snap.me, channel.id));
  const fresh = count > 0 && !here;
  const title = titleOf(snap, channel);
  const other = snap.users.find((user) => user.id !== snap.me && channel.members.includes(user.id));
  return (
    <li>
      <a
        className={fresh ? "room fresh" : "room"}
        href={`#/${channel.id}`}
        aria-current={here ? "page" : undefined}
        data-testid="channel-link"
        data-channel-id={channel.id}
        data-unread={fresh ? count : 0}
        onClick={onGo}
      >
        {channel.kind === "im" ? (
          <Avatar user={other} name={title} small />
        ) : (
          <span className="hash" aria-hidden="true">
            #
          </span>
        )}
        <span className="room-name">{title}</span>
        {fresh && (
          <span className={meant ? "badge meant" : "badge"} aria-label={`${count} unread`}>
            {count > 99 ? "99+" : count}
          </span>
        )}
      </a>
    </li>
  );
}

function Rooms({ title, list, here, onGo }: { title: string; list: Channel[]; here: string; onGo(): void }) {
  if (list.length === 0) return null;
  return (
    <section>
      <h2>{title}</h2>
      <ul>
        {list.map((channel) => (
          <Room key={channel.id} channel={channel} here={channel.id === here} onGo={onGo} />
        ))}
      </ul>
    </section>
  );
}

function ActingAs() {
  const { users, me } = useSnap();
  const people = users.filter((user) => !user.is_bot);
  const mine = users.find((user) => user.id === me);
  return (
    <label className="acting">
      <Avatar user={mine} name={mine?.real_name ?? me} />
      <span className="acting-text">
        <span>Acting as</span>
        <select data-testid="acting-as" value={me} onChange={(event) => void switchUser(event.target.value)}>
          {people.map((user) => (
            <option key={user.id} value={user.id}>
              {user.real_name}
            </option>
          ))}
        </select>
      </span>
    </label>
  );
}

export function Sidebar({ here, open, onClose }: { here: string; open: boolean; onClose(): void }) {
  const snap = useSnap();
  const mine = channelsOf(snap);
  const connected = useApp().link !== "gone" && snap.socket.connected > 0;
  return (
    <>
      {open && (
        <button type="button" className="shade" aria-label="Close the list of channels" onClick={onClose} />
      )}
      <nav className={open ? "sidebar open" : "sidebar"} aria-label="Channels and conversations">
        <div className="sidebar-head">
          <span className="team">{snap.team.name}</span>
          <span className="socket" data-testid="socket" data-connected={connected}>
            <span className={connected ? "dot on" : "dot"} aria-hidden="true" />
            {connected ? `${appName(snap)} is connected` : `${appName(snap)} is not connected`}
          </span>
        </div>
        <div className="rooms">
          <Rooms
            title="Channels"
            list={mine.filter((each) => each.kind === "channel")}
            here={here}
            onGo={onClose}
          />
          <Rooms
            title="Direct messages"
            list={mine.filter((each) => each.kind === "im" && !each.is_bot_im)}
            here={here}
            onGo={onClose}
          />
          <Rooms title="Apps" list={mine.filter((each) => each.is_bot_im)} here={here} onGo={onClose} />
        </div>
        <ActingAs />
      </nav>
    </>
  );
}
