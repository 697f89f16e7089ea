"""Block Kit as Slack checks it."""

from bot.sandbox.block_kit.check import check_attachments, check_message_blocks, check_view

__all__ = ["check_attachments", "check_message_blocks", "check_view"]
