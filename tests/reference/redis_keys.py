"""Type and content of each Redis key. A test compares this table with the keys in the source."""

KEYS = {
    "mixtral:d:<deployment>": ("stream", "Log of a deployment, one event per entry. Expires 30 days after the deployment ended."),
    "mixtral:installation": ("string", "Id of the installation, which tags every machine. Set once, by the first worker."),
    "mixtral:feed": ("stream", "One entry for each appended event: the deployment (`d`) and the version (`v`). About 100,000 entries are kept."),
    "mixtral:names": ("hash", "Id of each deployment that has not ended, by its name."),
    "mixtral:past": ("sorted set", "`<name> <id>` of the deployments that ended in the last 30 days, by the time of the end in Unix seconds."),
    "mixtral:keys": ("hash", "Key of the launcher, by the deployment's id. Secret."),
    "mixtral:keys:<deployment>": ("hash", "Further keys of a deployment: `replica`, `bot`, and one field for each further key id. Secret."),
    "mixtral:once:<once>": ("string", "Id of the deployment that a Slack trigger launched. Expires after 1 hour."),
    "mixtral:load": ("hash", "Newest load of each deployment (JSON), by its id."),
    "mixtral:prices": ("string", "Prices that a worker or `mixtral-bot prices` read from the clouds (JSON with a CSV table), and what could not be read."),
    "mixtral:lease:<name>": ("string", "Lease that one process holds: `d:<id>`, `sweeper`, `prices`, `follower` or `question:<key>`. Expires unless renewed."),
    "mixtral:gateway": ("string", "Identity of the gateway that controls HAProxy. Expires 10 seconds after it was last renewed."),
    "mixtral:cards": ("hash", "Card of each deployment: its channel, message and last content (JSON), by the deployment's id."),
    "mixtral:follower:position": ("string", "Position in `mixtral:feed` up to which the cards are written."),
    "mixtral:questions": ("hash", "Prompts that have no answer yet (JSON), by the question's key."),
    "mixtral:asked:<key>": ("string", "Marks a prompt as received, so that Slack's retry is ignored. Expires after 1 hour."),
    "mixtral:thread:<channel>:<root>": ("hash", "Conversation of a thread: `deployment`, prompts (`p:<ts>`), answers (`a:<ts>`). Expires after 7 days."),
    "mixtral:told:<channel>:<user>": ("string", "Marks a person of another company as told why they get no answer. Expires after 1 day."),
    "mixtral:rate:<method>": ("string", "Time, in Unix milliseconds, at which the budget of a Slack method is full again. Expires 1 second later."),
    "mixtral:rate:<method>:<channel>": ("string", "The same for `chat.postMessage`, by channel."),
}  # fmt: skip
