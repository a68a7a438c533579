"""The dashboard: one page, made here, that works without its script and shows no secret.

Everything that comes from outside is escaped. The page may load its own style and script and
nothing else, runs no other script, and sends its one form to itself (Content-Security-Policy).
"""

from collections.abc import Callable, Iterable, Mapping
from html import escape
from importlib.resources import files
from urllib.parse import quote

from rich.filesize import decimal

from ..core.oci import Time
from ..wire.replies import Reply
from .api import Api, Tree, Wrong
from .recent import Recent

HEADERS = (
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)
TOP = 10
WHOM = {
    "anonymous": "for an anonymous client",
    "user": "for a client that had logged in",
    "warm": "for warm",
    "import": "by import",
}


class Dashboard:
    def __init__(
        self,
        api: Api,
        recent: Recent,
        traffic: Callable[[], tuple[int, int, int, int]],
        failing: Mapping[str, str],
        now: Callable[[], Time],
    ) -> None:
        """`traffic`: pulls, hits, bytes sent to clients, bytes received from upstreams. `failing`:
        upstreams whose last request got no answer, and why; as it is when somebody looks."""
        self._api = api
        self._recent = recent
        self._traffic = traffic
        self._failing = failing
        self._now = now
        static = files(__package__) / "static"
        self._css = (static / "dashboard.css").read_bytes()
        self._js = (static / "dashboard.js").read_bytes()

    def pages(self) -> Mapping[str, Callable[[Mapping[str, str]], Reply]]:
        return {
            "/": self._page,
            "/live": lambda _: _html(self._live()),
            "/dashboard.css": lambda _: Reply(200, self._css, "text/css", HEADERS),
            "/dashboard.js": lambda _: Reply(200, self._js, "text/javascript", HEADERS),
        }

    def _page(self, said: Mapping[str, str]) -> Reply:
        ref = said.get("ref", "")
        found = self._why(ref) if ref else ""
        return _html(
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<title>distcache</title><link rel="stylesheet" href="/dashboard.css">'
            '<script src="/dashboard.js" defer></script></head><body>'
            '<header><h1>distcache</h1><span id="state" class="dim" role="status">as of now</span>'
            '<span class="dim">a pull-through cache</span></header><main>'
            '<section class="wide" aria-label="Search"><form action="/" method="get" role="search">'
            '<label for="ref">What would a pull get?</label>'
            f'<input id="ref" name="ref" value="{escape(ref)}" spellcheck="false" '
            'autocapitalize="none" placeholder="docker.io/library/alpine:3">'
            f"<button>Why</button></form>{found}</section></main>"
            f'<main id="live">{self._live()}</main></body></html>'
        )

    def _why(self, ref: str) -> str:
        try:
            said = self._api.ask("why", {"ref": ref})
        except Wrong as wrong:
            return f'<p class="bad">{escape(str(wrong))}</p>'
        facts = {
            "state": said["state"],
            "resolves to": said["digest"],
            "last checked": _ago(said["checked"], self._now()),
            "held": _held(said),
            "last used": _ago(said["used"], self._now()),
            "pinned": "yes" if said["pinned"] else "no",
            "may be served as": ", ".join(said["granted"]),
            "upstream's last answer": self._answered(said["answered"]),
            "fetched": self._filled(said["filled"]) if said["held"] else "",
            "upstream's quota": self._quota(said["quota"]),
        }
        rows = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
            for name, value in facts.items()
            if value
        )
        return f'<p><b>{escape(ref)}</b> {escape(said["answer"])}</p><dl class="facts">{rows}</dl>'

    def _answered(self, said: Tree | None) -> str:
        if said is None:
            return "not known"
        words = [str(said[name]) for name in ("status", "error") if said[name] is not None]
        return f"{', '.join(words)}{_by(said['mirror'])}, {_ago(said['at'], self._now())}"

    def _filled(self, filled: Tree | None) -> str:
        """For which client is for who has the key."""
        if filled is None:
            return "not known when and for whom"
        where = f"as {filled['repository']}{_by(filled['mirror'])}"
        return f"{_ago(filled['at'], self._now())}, {WHOM[filled['by']]}, {where}"

    def _quota(self, quota: Tree) -> str:
        if quota["limit"] is None:
            return "not known"
        minutes = max(0.0, quota["renewed"] - self._now()) / 60
        left = f"{quota['remaining']} of {quota['limit']} left"
        return f"{left}, all of it again in {minutes:.0f} min at the latest"

    def _live(self) -> str:
        return "".join(
            (
                self._numbers(),
                self._fills(),
                self._upstreams(),
                self._top(),
                self._images(),
                self._errors(),
            )
        )

    def _numbers(self) -> str:
        status = self._api.ask("status", {})
        pulls, hits, sent, received = self._traffic()
        cap = status["max_bytes"]
        share = f"{100 * hits / pulls:.0f} %" if pulls else "-"
        numbers = {
            "pulls answered without upstream": share,
            "pulls": f"{pulls:,}",
            "sent to clients": decimal(sent),
            "from upstreams": decimal(received),
            "saved": decimal(max(0, sent - received)),
            "being answered": str(status["exchanges"]),
            "stored": decimal(status["stored_bytes"]),
            "blobs": f"{status['stored_blobs']:,}",
        }
        cells = "".join(
            f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in numbers.items()
        )
        disk = ""
        if cap is not None:
            used = status["stored_bytes"]
            disk = (
                f'<p><label for="disk">{decimal(used)} of {decimal(cap)}</label> '
                f'<progress id="disk" max="{cap}" value="{min(used, cap)}"></progress></p>'
            )
        return _section("Now", f'<dl class="numbers">{cells}</dl>{disk}', wide=True)

    def _fills(self) -> str:
        rows = []
        for one in self._api.ask("fills", {})["fills"]:
            whole = one["size"]
            bar = (
                f'<progress max="{whole}" value="{one["have"]}" '
                f'aria-label="{escape(one["repository"])}"></progress>'
                if whole
                else ""
            )
            # On two lines: beside a name and a bar it would not fit on a phone.
            amount = decimal(one["have"]) + (f" <br>of {decimal(whole)}" if whole else "")
            rows.append(
                f'<tr><td class="name">{escape(one["repository"])}<br>'
                f'<span class="dim">{escape(one["digest"][:19])} {escape(one["state"])}</span>'
                f'{bar}</td><td class="n">{amount}</td><td class="n">{one["readers"]}</td></tr>'
            )
        head = ("what", "n:bytes", "n:clients")
        return _section("Transfers under way", _table(head, rows, "None."), wide=True)

    def _upstreams(self) -> str:
        rows = []
        for one in self._api.ask("upstreams", {})["upstreams"]:
            quota = f"{one['remaining']} of {one['limit']}" if one["limit"] is not None else "-"
            trouble = []
            if one["limited_until"] is not None:
                trouble.append(f"limits us for {one['limited_until'] - self._now():.0f} s more")
            if one["resting_mirrors"]:
                numbers = ", ".join(str(n + 1) for n in one["resting_mirrors"])
                trouble.append(f"mirror {numbers} is passed over")
            why = self._failing.get(one["upstream"])
            if why is not None:
                trouble.append(f"did not answer last: {why}")
            words = escape("; ".join(trouble)) or '<span class="good">well</span>'
            rows.append(
                f'<tr><td class="name">{escape(one["upstream"])}</td><td class="n">{quota}</td>'
                f"<td>{words}</td></tr>"
            )
        return _section("Upstreams", _table(("upstream", "n:quota left", ""), rows, "None."))

    def _top(self) -> str:
        rows = [
            f'<tr><td class="name">{escape(name)}</td><td class="n">{count.pulls:,}</td>'
            f'<td class="n">{100 * count.hits / count.pulls:.0f} %</td>'
            f'<td class="n">{decimal(count.sent)}</td></tr>'
            for name, count in self._recent.top(TOP)
        ]
        head = ("repository", "n:pulls", "n:hits", "n:sent")
        return _section("Most sent", _table(head, rows, "Nothing was pulled yet."))

    def _images(self) -> str:
        rows = [
            f'<tr><td class="name"><a href="/?ref={escape(_quoted(i["name"]))}">'
            f'{escape(i["name"])}</a></td><td class="n">{decimal(i["size"])}</td>'
            f'<td class="n">{_ago(i["used"], self._now())}</td></tr>'
            for i in self._api.latest(TOP)
        ]
        head = ("image", "n:size", "n:last used")
        return _section("Last used", _table(head, rows, "Nothing is held yet."))

    def _errors(self) -> str:
        rows = [
            f'<tr><td class="n">{_ago(one.at, self._now())}</td>'
            f'<td class="n">{one.status or "cut off"}</td>'
            f'<td class="name">{escape(one.what)}<br><span class="dim">{escape(one.reason)}</span>'
            "</td></tr>"
            for one in list(self._recent.errors)[:TOP]
        ]
        head = ("n:when", "n:status", "what and why")
        return _section("Recent errors", _table(head, rows, "None."), wide=True)


def _held(said: Tree) -> str:
    if not said["held"]:
        return "no"
    return "yes, " + ("" if said["digest"] is None else "a manifest of ") + decimal(said["size"])


def _by(mirror: int | None) -> str:
    return "" if mirror is None else f" from mirror {mirror + 1}"


def _section(title: str, body: str, *, wide: bool = False) -> str:
    kind = ' class="wide"' if wide else ""
    return f"<section{kind}><h2>{escape(title)}</h2>{body}</section>"


def _table(head: Iterable[str], rows: list[str], nothing: str) -> str:
    """Columns named `n:…` hold numbers."""
    if not rows:
        return f'<p class="dim">{escape(nothing)}</p>'
    cells = "".join(
        f'<th scope="col" class="n">{escape(name[2:])}</th>'
        if name.startswith("n:")
        else f'<th scope="col">{escape(name)}</th>'
        for name in head
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _ago(at: float | None, now: float) -> str:
    if at is None:
        return ""
    seconds = max(0.0, now - at)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _quoted(text: str) -> str:
    return quote(text, safe="/:@")


def _html(text: str) -> Reply:
    return Reply(200, text.encode(), "text/html; charset=utf-8", HEADERS)
