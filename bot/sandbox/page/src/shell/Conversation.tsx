import { useCallback, useEffect, useState } from "react";
import { appName, authorOf, inChannel, titleOf } from "../state/messages";
import { markRead, readMark, useRemembered } from "../state/remembered";
import { go, type Route } from "../state/route";
import { openDm } from "../state/server";
import { useSnap } from "../state/store";
import type { Channel, Prompt } from "../types";
import { Avatar } from "./Avatar";
import { Composer } from "./Composer";
import { fill } from "./draft";
import { Home } from "./Home";
import { MessageList } from "./MessageList";

const EXAMPLE = "/mixtral";
const INVITE = "/invite @mixtral";

/** The first message that was unread when the conversation was opened; messages seen from then on are read. */
function useFirstNew(channel: Channel): string | undefined {
  const { me, messages } = useSnap();
  const all = messages[channel.id] ?? [];
  const [firstNew] = useState(() => {
    const mark = readMark(me, channel.id);
    return mark && all.find((each) => Number(each.ts) > Number(mark) && authorOf(each) !== me)?.ts;
  });
  const last = all.at(-1)?.ts;
  useEffect(() => {
    const read = () => {
      if (last && !document.hidden) markRead(me, channel.id, last);
    };
    read();
    document.addEventListener("visibilitychange", read);
    return () => document.removeEventListener("visibilitychange", read);
  }, [me, channel.id, last]);
  return firstNew;
}

export function Prompts({ prompts, composer }: { prompts: Prompt[] | undefined; composer: string }) {
  if (!prompts || prompts.length === 0) return null;
  return (
    <div className="prompts" role="group" aria-label="Suggested prompts">
      {prompts.map((prompt) => (
        <button
          key={prompt.title}
          type="button"
          className="prompt"
          data-testid="prompt"
          onClick={() => fill(composer, prompt.message)}
        >
          {prompt.title}
        </button>
      ))}
    </div>
  );
}

function Beginning({ channel, title, empty }: { channel: Channel; title: string; empty: boolean }) {
  const snap = useSnap();
  const command = snap.commands[0]?.command;
  const bot = snap.users.find((user) => user.is_bot);
  const example = bot && channel.kind === "channel" && !channel.members.includes(bot.id) ? INVITE : EXAMPLE;
  return (
    <div className="beginning">
      <h2>{channel.kind === "channel" ? `# ${title}` : title}</h2>
      <p>
        {channel.is_bot_im
          ? `Write to ${appName(snap)} here: each message starts a thread of its own.`
          : channel.kind === "im"
            ? `Between you and ${title}.`
            : channel.topic || `The beginning of #${title}.`}
      </p>
      {empty && command && (
        <button
          type="button"
          className="try"
          data-testid="first-hint"
          onClick={() => fill(channel.id, example)}
        >
          Try <code>{example}</code>
        </button>
      )}
    </div>
  );
}

function Head({
  channel,
  title,
  route,
  onMenu,
}: {
  channel: Channel;
  title: string;
  route: Route;
  onMenu(): void;
}) {
  const { users, me } = useSnap();
  const other = users.find((user) => user.id !== me && channel.members.includes(user.id));
  const tab = (name: string, home: boolean) => (
    <a
      href={`#/${channel.id}${home ? "/home" : ""}`}
      aria-current={Boolean(route.home) === home ? "page" : undefined}
      data-testid={home ? "home-tab" : "messages-tab"}
    >
      {name}
    </a>
  );
  return (
    <header className="head">
      <button type="button" className="menu-button" aria-label="Channels" data-testid="menu" onClick={onMenu}>
        <svg viewBox="0 0 16 16" className="icon-16" aria-hidden="true">
          <path d="M2 4h12M2 8h12M2 12h12" />
        </svg>
      </button>
      {channel.kind === "im" ? (
        <Avatar user={other} name={title} small />
      ) : (
        <span className="hash" aria-hidden="true">
          #
        </span>
      )}
      <h1 data-testid="title">{title}</h1>
      {channel.is_bot_im ? (
        <nav className="tabs" aria-label={`${title}'s tabs`}>
          {tab("Messages", false)}
          {tab("Home", true)}
        </nav>
      ) : (
        <span className="topic">{channel.topic}</span>
      )}
    </header>
  );
}

function Messages({ channel, title, route }: { channel: Channel; title: string; route: Route }) {
  const snap = useSnap();
  const { dismissed } = useRemembered();
  const firstNew = useFirstNew(channel);
  const [sent, setSent] = useState(0);
  const [asked, setAsked] = useState<number>();
  const messages = inChannel(snap, channel.id, dismissed);
  const prompts = snap.suggested_prompts[`${channel.id}:`] ?? snap.suggested_prompts[channel.id];

  useEffect(() => {
    if (channel.is_bot_im) void openDm();
  }, [channel.id, channel.is_bot_im, snap.me]);

  // In a direct message the answer comes in a thread under the question, which is opened.
  const answered = messages.findLast(
    (message) =>
      message.user === snap.me && Number(message.ts) >= (asked ?? Infinity) && (message.reply_count ?? 0) > 0,
  );
  useEffect(() => {
    if (!answered) return;
    setAsked(undefined);
    go({ channel: channel.id, thread: answered.ts });
  }, [answered, channel.id]);

  const openThread = useCallback((ts: string) => go({ channel: channel.id, thread: ts }), [channel.id]);
  const newest = Number(snap.messages[channel.id]?.at(-1)?.ts ?? 0);
  return (
    <>
      <MessageList
        id={channel.id}
        label={`Messages in ${title}`}
        testid="message-list"
        messages={messages}
        firstNew={firstNew}
        linked={route.message}
        sent={sent}
        top={<Beginning channel={channel} title={title} empty={messages.length === 0} />}
        onThread={openThread}
      />
      <Prompts prompts={prompts} composer={channel.id} />
      <Composer
        key={channel.id}
        channel={channel}
        label={channel.kind === "channel" ? `Message #${title}` : `Message ${title}`}
        onSent={(text) => {
          setSent(sent + 1);
          if (channel.is_bot_im && !text.startsWith("/") && !route.thread) setAsked(newest);
        }}
      />
    </>
  );
}

export function Conversation({ channel, route, onMenu }: { channel: Channel; route: Route; onMenu(): void }) {
  const snap = useSnap();
  const title = titleOf(snap, channel);
  return (
    <main
      className={route.thread ? "main beside" : "main"}
      data-testid="conversation"
      data-channel-id={channel.id}
    >
      <Head channel={channel} title={title} route={route} onMenu={onMenu} />
      {route.home && channel.is_bot_im ? (
        <Home />
      ) : (
        <Messages key={`${snap.me} ${channel.id}`} channel={channel} title={title} route={route} />
      )}
    </main>
  );
}
