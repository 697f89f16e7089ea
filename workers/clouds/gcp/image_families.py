"""Machine images: a family's newest image, and the minimum size of a disk."""

import re
import time
from datetime import timedelta

from workers.clouds.gcp.client import GcpClient
from workers.clouds.gcp.instance import GlobalImage

CACHED_FOR = timedelta(hours=1)
LINK = re.compile(r"(?:.*/)?projects/(?P<project>[^/]+)/global/images/(?P<family>family/)?(?P<name>[^/]+)")


class ImageFamilies:
    """Resolves images before a launch, so that a missing one is a refusal with its own cause."""

    def __init__(self, api: GcpClient) -> None:
        self._api = api
        self._found: dict[str, tuple[float, GlobalImage]] = {}

    def resolve(self, link: str) -> GlobalImage:
        """The image that `link` names, itself or by its family. Raises GcpError (404 if there is none), DriverError."""
        at, known = self._found.get(link, (float("-inf"), None))
        if known is not None and time.monotonic() - at < CACHED_FOR.total_seconds():
            return known
        if not (named := LINK.fullmatch(link)):
            return GlobalImage(link=link)  # GCE validates it
        project, name = named["project"], named["name"]
        if named["family"]:
            found = self._api.call("ImagesClient", "get_from_family", project=project, family=name)
        else:
            found = self._api.call("ImagesClient", "get", project=project, image=name)
        image = GlobalImage(link=f"projects/{project}/global/images/{found.name}", gib=int(found.disk_size_gb))
        self._found[link] = (time.monotonic(), image)
        return image
