"""Checks of Block Kit with Slack's rules and error messages."""

from bot.sandbox.block_kit.check import check_attachments, check_message_blocks, check_view

__all__ = ["check_attachments", "check_message_blocks", "check_view"]
