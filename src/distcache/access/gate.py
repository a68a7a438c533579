"""Who may ask this cache for what: one judgement for both event loops.

`judge` never waits. What it cannot tell at once is a `Check`, whose job blocks and gives the
verdict; jobs should have few threads to themselves, so that guessing at passwords takes no
others, and what waits for one finds the answer of the one before.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from ..core.effects import Code
from ..core.oci import Repository
from ..core.pull import Catalog, Ping, Pull
from ..watched import FileProblem, Report
from ..wire.replies import Reply, refusal
from . import challenges
from .authorization import Bearer, Password, parse
from .rules import HtpasswdRule, Rules, TokenRule

if TYPE_CHECKING:
    from .htpasswd import Htpasswd
    from .token import TokenGrant, Tokens


@frozen
class Allowed:
    """`who`: a user's name, a token's or a certificate's subject; None where nobody has to say.
    It comes from outside: fit for a log field, no more."""

    who: str | None = None


ANYBODY = Allowed()


@frozen
class Challenge:
    """Answer 401 with this `www_authenticate` (RFC 9110 §15.5.2)."""

    www_authenticate: str
    code: Code
    message: str

    def reply(self) -> Reply:
        return refusal(401, self.code, self.message, ("WWW-Authenticate", self.www_authenticate))


@frozen
class Refused:
    """No login would help."""

    status: int
    code: Code
    message: str

    def reply(self) -> Reply:
        return refusal(self.status, self.code, self.message)


Verdict = Allowed | Challenge | Refused

Asked = Repository | Catalog | None
"""None: the protocol's base, `/v2/`, and whatever touches no content."""


@frozen
class Check:
    """`job` blocks; it may be called in any thread and never raises."""

    job: Callable[[], Verdict]


def asked(routed: Pull | Reply) -> Asked:
    """What a routed request touches."""
    if isinstance(routed, Reply):
        return None
    target = routed.target
    if isinstance(target, Ping):
        return None
    return target if isinstance(target, Catalog) else target.repository


class Gate:
    """`report` takes what the operator should see: files that cannot be read, why a token is
    refused."""

    def __init__(self, rules: Rules, report: Report) -> None:
        self._rules = rules
        self._report = report
        login = rules.login
        self._users = _users(login) if isinstance(login, HtpasswdRule) else None
        self._tokens = _tokens(login) if isinstance(login, TokenRule) else None
        self._told = ""

    @property
    def wants_login(self) -> bool:
        """`judge` looks at Authorization."""
        return self._rules.login is not None

    def judge(
        self, authorization: str | None, asked: Asked, subject: str | None, now: float
    ) -> Verdict | Check:
        """`authorization` is the only field of that name; `subject` that of the client's verified
        certificate. `now` in seconds of the epoch."""
        if self._rules.certificate and subject is None:
            return Refused(403, Code.DENIED, "a client certificate is wanted")
        match self._rules.login:
            case HtpasswdRule() as rule:
                return self._judge_password(rule, parse(authorization), asked, now)
            case TokenRule() as rule:
                return self._judge_token(rule, parse(authorization), asked, now)
        return self._served(asked, subject)

    def _judge_password(
        self, rule: HtpasswdRule, said: Password | Bearer | None, asked: Asked, now: float
    ) -> Verdict | Check:
        if not isinstance(said, Password):
            return _login_wanted(rule)
        assert self._users is not None
        if self._users.cached(said, now):
            return self._served(asked, said.user)
        return Check(lambda: self._check_password(rule, said, asked, now))

    def _check_password(
        self, rule: HtpasswdRule, said: Password, asked: Asked, now: float
    ) -> Verdict:
        assert self._users is not None
        try:
            right = self._users.check(said, now)
            self._told = ""
        except FileProblem as problem:
            if self._told != str(problem):
                # Once: anybody can ask again and again.
                self._told = str(problem)
                self._report("the file of users cannot be used", {"error": str(problem)})
            # Nobody comes in: who was taken out of the file must not.
            return Refused(503, Code.UNAVAILABLE, "logins cannot be checked now")
        return self._served(asked, said.user) if right else _login_wanted(rule)

    def _judge_token(
        self, rule: TokenRule, said: Password | Bearer | None, asked: Asked, now: float
    ) -> Verdict | Check:
        if not isinstance(said, Bearer):
            return self._token_wanted(rule, asked)
        assert self._tokens is not None
        grant = self._tokens.cached(said.token, now)
        if grant is not None:
            return self._judge_grant(rule, grant, asked)
        return Check(lambda: self._check_token(rule, said, asked, now))

    def _check_token(self, rule: TokenRule, said: Bearer, asked: Asked, now: float) -> Verdict:
        from .token import InvalidToken

        assert self._tokens is not None
        try:
            grant = self._tokens.check(said.token, now)
        except InvalidToken as reason:
            self._report("a client's token is refused", {"error": str(reason)})
            return self._token_wanted(rule, asked, challenges.INVALID_TOKEN)
        return self._judge_grant(rule, grant, asked)

    def _judge_grant(self, rule: TokenRule, grant: "TokenGrant", asked: Asked) -> Verdict:
        match asked:
            case None:
                enough = True
            case Catalog():
                enough = grant.catalog()
            case _:
                enough = grant.pull(challenges.names(asked, self._rules.default))
        if not enough:
            return self._token_wanted(rule, asked, challenges.INSUFFICIENT_SCOPE)
        return self._served(asked, grant.subject or None)

    def _token_wanted(self, rule: TokenRule, asked: Asked, error: str = "") -> Challenge:
        # 401 for too small a scope as well: clients fetch another token then, and not on 403.
        scope = challenges.scope(asked, self._rules.default)
        text = challenges.bearer(rule.realm, rule.service, scope, error)
        return Challenge(text, Code.UNAUTHORIZED, "authentication required")

    def _served(self, asked: Asked, who: str | None) -> Verdict:
        if isinstance(asked, Repository):
            patterns = self._rules.repositories.get(asked.upstream)
            if patterns is not None and not patterns.admits(asked.name):
                return Refused(403, Code.DENIED, "this cache does not serve that repository")
        return ANYBODY if who is None else Allowed(who)


# What checks logins is loaded where there are some: see `rules`.


def _users(rule: HtpasswdRule) -> "Htpasswd":
    from .htpasswd import Htpasswd

    return Htpasswd(rule.path)


def _tokens(rule: TokenRule) -> "Tokens":
    from .token import Tokens

    return Tokens(rule)


def _login_wanted(rule: HtpasswdRule) -> Challenge:
    text = challenges.basic(rule.realm)
    return Challenge(text, Code.UNAUTHORIZED, "authentication required")
