"""The settings of channels on a real Valkey."""

from bot.language.channel_settings import ChannelSettings
from bot.prompting.channel_store import SETTINGS, ChannelStore


def test_of_settings_that_are_reset_nothing_is_stored(redis):
    store = ChannelStore(redis)
    store.put("C0HERE", "U1", ChannelSettings(temperature=0.2, changed_by="U1"))
    store.put("D1", "U2", ChannelSettings(system_prompt="Be brief.", changed_by="U2"))
    assert redis.hlen(SETTINGS) == 2
    store.put("C0HERE", "U1", ChannelSettings(changed_by="U1"))
    assert store.of("C0HERE", "U1") == ChannelSettings()
    store.put("D1", "U2", ChannelSettings(changed_by="U2"))
    assert redis.hlen(SETTINGS) == 0
