/** The data of the sandbox's server: see README.md, "The page's API". */

export interface TextObject {
  type: "plain_text" | "mrkdwn";
  text: string;
  verbatim?: boolean;
}

export interface Option {
  text: TextObject;
  value: string;
  description?: TextObject;
  url?: string;
}

export interface OptionGroup {
  label: TextObject;
  options: Option[];
}

export interface Confirm {
  title?: TextObject;
  text?: TextObject;
  confirm?: TextObject;
  deny?: TextObject;
  style?: "primary" | "danger";
}

export interface FeedbackButton {
  text: TextObject;
  value: string;
  accessibility_label?: string;
}

/** An interactive element; its type determines its fields. */
export interface Element {
  type: string;
  action_id?: string;
  text?: TextObject | string;
  value?: string;
  url?: string;
  style?: "primary" | "danger";
  confirm?: Confirm;
  accessibility_label?: string;
  placeholder?: TextObject;
  options?: Option[];
  option_groups?: OptionGroup[];
  initial_option?: Option;
  initial_options?: Option[];
  initial_value?: string;
  initial_user?: string;
  initial_channel?: string;
  initial_conversation?: string;
  initial_users?: string[];
  initial_channels?: string[];
  initial_conversations?: string[];
  default_to_current_conversation?: boolean;
  filter?: { include?: string[] };
  max_selected_items?: number;
  initial_date?: string;
  initial_time?: string;
  initial_date_time?: number;
  focus_on_load?: boolean;
  dispatch_action_config?: { trigger_actions_on?: string[] };
  visible_to_user_ids?: string[];
  multiline?: boolean;
  min_length?: number;
  max_length?: number;
  is_decimal_allowed?: boolean;
  min_value?: string;
  max_value?: string;
  image_url?: string;
  alt_text?: string;
  icon?: string;
  positive_button?: FeedbackButton;
  negative_button?: FeedbackButton;
}

export interface RichStyle {
  bold?: boolean;
  italic?: boolean;
  strike?: boolean;
  code?: boolean;
}

export interface RichLeaf {
  type: string;
  text?: string;
  url?: string;
  name?: string;
  user_id?: string;
  channel_id?: string;
  range?: string;
  timestamp?: number;
  format?: string;
  fallback?: string;
  value?: string;
  style?: RichStyle | string;
}

export interface RichPart {
  type: string;
  style?: RichStyle | string;
  indent?: number;
  offset?: number;
  elements?: (RichPart & RichLeaf)[];
}

export interface TableCell {
  type: string;
  text?: string;
  elements?: RichPart[];
}

/** A chart: a pie has segments, the others have series. */
export interface Chart {
  type: string;
  segments?: { label: string; value: number }[];
  series?: { name: string; data: { label: string; value: number }[] }[];
  axis_config?: { categories: string[]; x_label?: string; y_label?: string };
}

/** A block; its type determines its fields. */
export interface Block {
  type: string;
  block_id?: string;
  text?: TextObject | string;
  fields?: TextObject[];
  accessory?: Element;
  elements?: (Element & RichPart)[];
  element?: Element;
  label?: TextObject;
  hint?: TextObject;
  optional?: boolean;
  dispatch_action?: boolean;
  image_url?: string;
  alt_text?: string;
  title?: TextObject | string;
  subtitle?: TextObject | string;
  body?: TextObject | string;
  actions?: Element[];
  caption?: string;
  rows?: TableCell[][];
  column_settings?: ({ align?: "left" | "center" | "right"; is_wrapped?: boolean } | null)[];
  level?: string;
  status?: string;
  details?: Block;
  output?: Block;
  task_id?: string;
  sources?: { url: string; text: string }[];
  tasks?: Block[];
  child_blocks?: Block[];
  rich_text_title?: Block;
  chart?: Chart;
  is_collapsible?: boolean;
  default_collapsed?: boolean;
}

export interface Attachment {
  color?: string;
  fallback?: string;
  pretext?: string;
  title?: string;
  title_link?: string;
  text?: string;
  footer?: string;
  fields?: { title?: string; value?: string; short?: boolean }[];
  blocks?: Block[];
  author_name?: string;
  author_id?: string;
  from_url?: string;
  ts?: string;
  files?: FileData[];
}

/** A file of a message, as Slack describes it. */
export interface FileData {
  id: string;
  mode: string;
  name?: string;
  title?: string;
  mimetype?: string;
  pretty_type?: string;
  size?: number;
  preview?: string;
  preview_is_truncated?: boolean;
  lines?: number;
}

/** A file to upload. */
export interface NewFile {
  name: string;
  mimetype: string;
  /** In base64. */
  content: string;
  mode?: "snippet";
}

export interface Message {
  channel: string;
  ts: string;
  thread_ts?: string;
  user?: string;
  bot_id?: string;
  username?: string;
  text: string;
  blocks?: Block[];
  attachments?: Attachment[];
  files?: FileData[];
  edited?: boolean;
  deleted?: boolean;
  ephemeral_to?: string | null;
  streaming?: boolean;
  reply_count?: number;
  reply_users?: string[];
  subtype?: string;
}

export interface User {
  id: string;
  name: string;
  real_name: string;
  is_bot: boolean;
  color: string;
}

export interface Channel {
  id: string;
  name: string;
  kind: "channel" | "im";
  topic?: string;
  members: string[];
  is_bot_im: boolean;
}

export interface Command {
  command: string;
  description: string;
  usage_hint?: string;
  subcommands: { usage: string; description: string }[];
}

/** An action of the app in the menu of a message. */
export interface Shortcut {
  callback_id: string;
  name: string;
  type: string;
}

export interface View {
  id: string;
  type: "modal" | "home";
  title?: TextObject;
  submit?: TextObject | null;
  close?: TextObject | null;
  blocks: Block[];
}

export interface Prompt {
  title: string;
  message: string;
}

/** Whether the app works in a thread. */
export interface Session {
  status: string;
  title?: string;
}

export interface Snapshot {
  cursor: number;
  team: { id: string; name: string };
  me: string;
  app: { id: string; bot_user_id: string; name: string };
  notice: string;
  users: User[];
  channels: Channel[];
  commands: Command[];
  shortcuts?: Shortcut[];
  messages: Record<string, Message[]>;
  homes: Record<string, View | null>;
  modals: Record<string, View[]>;
  statuses: Record<string, string>;
  suggested_prompts: Record<string, Prompt[]>;
  sessions: Record<string, Session>;
  socket: { connected: number };
}

/** The present value of an element, in the form of Slack's `state.values`. */
export interface ElementState {
  type: string;
  value?: string | null;
  selected_option?: Option | null;
  selected_options?: Option[];
  selected_user?: string | null;
  selected_channel?: string | null;
  selected_conversation?: string | null;
  selected_users?: string[];
  selected_channels?: string[];
  selected_conversations?: string[];
  selected_date?: string | null;
  selected_time?: string | null;
  selected_date_time?: number | null;
}

export type Values = Record<string, Record<string, ElementState>>;
