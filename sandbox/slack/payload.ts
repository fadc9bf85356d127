import type { KnownBlock, MessageAttachment } from "@slack/types";

/** What ghbk may send to an incoming webhook. */
export interface Payload {
  text?: string;
  blocks?: KnownBlock[];
  attachments?: MessageAttachment[];
  thread_ts?: string;
  mrkdwn?: boolean;
  unfurl_links?: boolean;
  unfurl_media?: boolean;
}
