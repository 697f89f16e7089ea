"""A follower that kills itself at its N-th call to Redis or Slack: `-m tests.mortal_follower REDIS API N`."""

import itertools
import os
import signal
import sys
import threading
from datetime import timedelta

from redis import Redis
from slack_sdk import WebClient

from bot.cards import card_message as cards
from bot.cards.follower import Follower
from bot.sandbox.seed import BOT_TOKEN
from bot.slack.budgets import Budgets
from bot.slack.calls import SlackCalls
from workers.api import Deployments

LEASE = timedelta(seconds=0.4)


def main(redis_url, api_url, lives):
    count = itertools.count(1)

    def tick():
        if next(count) == lives:
            os.kill(os.getpid(), signal.SIGKILL)

    class MortalRedis(Redis):
        def execute_command(self, *args, **options):
            tick()
            return super().execute_command(*args, **options)

    class MortalClient(WebClient):
        def api_call(self, *args, **options):
            tick()
            answer = super().api_call(*args, **options)
            tick()
            return answer

    vars(cards).update(SETTLES=timedelta(seconds=0.2))
    redis = MortalRedis.from_url(redis_url)
    requests = Deployments(redis, lambda _: None, {})
    slack = SlackCalls(MortalClient(BOT_TOKEN, base_url=api_url, retry_handlers=[]), Budgets(redis))
    Follower(requests, slack, redis, lease_for=LEASE).run(threading.Event())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
