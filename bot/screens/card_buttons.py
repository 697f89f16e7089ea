"""The buttons of a deployment's card, and the modals that they open."""

from collections.abc import Callable
from datetime import UTC, datetime

from slack_bolt import App

from bot.commands import handlers
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError
from bot.commands.lookup import check, check_runs
from bot.commands.policy import Permission
from bot.commands.scale_handler import scale_to
from bot.language.command import SLASH
from bot.language.typed_text import plain
from bot.language.values import InvalidValue, replicas
from bot.screens.presses import NOTHING, Presses, entered, metadata_of, value_of
from bot.slack.message import JSON, Message
from bot.views import alerts, end_question
from bot.views import scale as scale_view
from workers.deployment.events import Clock
from workers.deployment.state import Deployment


class CardButtons:
    """Registers a listener for each button of the card, also where another message or the Home tab shows it."""

    def __init__(self, presses: Presses) -> None:
        self._presses = presses
        self._context = presses.context

    def register(self, app: App) -> None:
        click, submitted = self._presses.click, self._presses.submitted
        app.action("card_endpoint")(click("endpoint", self._of_deployment(handlers.endpoint_of)))
        app.action("card_keep_trying")(click("keep trying", self._of_deployment(handlers.keep_trying)))
        app.action(alerts.KEEP)(click("keep", self._keep))
        app.action("card_scale_to_zero")(click("scale to zero", self._scale_to_zero))
        app.action("card_down")(click("down", self._open_end, ack_within=0))
        app.action("card_scale")(click("scale", self._open_scale, ack_within=0))
        app.view(scale_view.CALLBACK)(submitted("scale", self._scale))
        app.view(end_question.CALLBACK)(submitted("down", self._end))

    def _of_deployment(
        self, work: Callable[[Deployment, Caller, CommandContext], Message]
    ) -> Callable[[JSON, Caller], Message]:
        return lambda body, caller: work(self._presses.deployment(body, caller), caller, self._context)

    def _open_scale(self, body: JSON, caller: Caller) -> Message:
        state = self._presses.deployment(body, caller)
        check(Permission.SCALE, state, caller, self._context)
        check_runs(state)
        return self._presses.opened(
            caller, scale_view.modal(state, self._context.now()), f"{SLASH} scale {state.name} 2"
        )

    def _open_end(self, body: JSON, caller: Caller) -> Message:
        return handlers.ask_to_end(self._presses.deployment(body, caller), caller, self._context)

    def _keep(self, body: JSON, caller: Caller) -> Message:
        """Move the end that the button's message announces. A second press moves it no further."""
        deployment, announced, clock = [*value_of(body).split(" "), "", ""][:3]
        state = self._presses.by_id(deployment, caller)
        try:
            end, by = datetime.fromtimestamp(int(announced), UTC), Clock(clock or Clock.TIME)
        except (ValueError, OverflowError) as error:
            raise CommandError(
                "This button is no longer valid: nothing was changed.", hint=f"{SLASH} status"
            ) from error
        if by is not Clock.TIME:
            return handlers.hold(state, by, end, caller, self._context)
        return handlers.keep(state, end, caller, self._context)

    def _scale_to_zero(self, body: JSON, caller: Caller) -> Message:
        return scale_to(self._presses.deployment(body, caller), 0, caller, self._context)

    def _end(self, view: JSON, caller: Caller) -> Message:
        state = self._presses.by_id(metadata_of(view), caller)
        already = handlers.ends_already(state)
        handlers.end(state, caller, self._context)
        return already or NOTHING  # the card shows the end

    def _scale(self, view: JSON, caller: Caller) -> Message:
        given = entered(view, scale_view.BLOCK, scale_view.ACTION)
        try:
            count = replicas(plain(given.get("value") or ""), "The number of replicas", least=0)
        except InvalidValue as wrong:
            raise CommandError(wrong.sentence) from wrong
        scale_to(self._presses.by_id(metadata_of(view), caller), count, caller, self._context)
        return NOTHING
