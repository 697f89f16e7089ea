"""The Web API's methods by name."""

from collections.abc import Callable
from typing import Any, Final

from bot.sandbox.arguments import Arguments
from bot.sandbox.methods import agents, assistant, blocks, chat, chat_streams, conversations, people, views
from bot.sandbox.stand_in import StandIn

Method = Callable[[StandIn, Arguments], dict[str, Any]]

# Answered by web_api, which has the socket's address.
APP_LEVEL: Final = frozenset({"apps.connections.open"})

METHODS: Final[dict[str, Method]] = {
    "agents.sessions.rename": agents.rename,
    "agents.sessions.setStatus": agents.set_status,
    "api.test": people.api_test,
    "assistant.threads.setStatus": assistant.set_status,
    "assistant.threads.setSuggestedPrompts": assistant.set_suggested_prompts,
    "assistant.threads.setTitle": assistant.set_title,
    "auth.test": people.auth_test,
    "blocks.validate": blocks.validate,
    "bots.info": people.bots_info,
    "chat.appendStream": chat_streams.append_stream,
    "chat.delete": chat.delete,
    "chat.getPermalink": chat.get_permalink,
    "chat.postEphemeral": chat.post_ephemeral,
    "chat.postMessage": chat.post_message,
    "chat.startStream": chat_streams.start_stream,
    "chat.stopStream": chat_streams.stop_stream,
    "chat.update": chat.update,
    "conversations.history": conversations.history,
    "conversations.info": conversations.info,
    "conversations.join": conversations.join,
    "conversations.list": conversations.list_all,
    "conversations.members": conversations.members,
    "conversations.open": conversations.open_dm,
    "conversations.replies": conversations.replies,
    "reactions.add": chat.add_reaction,
    "reactions.remove": chat.remove_reaction,
    "team.info": people.team_info,
    "usergroups.list": people.user_groups,
    "usergroups.users.list": people.user_group_members,
    "users.conversations": conversations.list_mine,
    "users.info": people.users_info,
    "users.list": people.users_list,
    "views.open": views.open_modal,
    "views.publish": views.publish,
    "views.push": views.push,
    "views.update": views.update,
}
