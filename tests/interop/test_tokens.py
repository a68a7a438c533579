"""The token service that other tests rely on refuses what its specification does not allow."""

from urllib.parse import urlencode

import pytest

from tests.interop.tokens import FORM, SERVICE, Refused, TokenService
from tests.interop.tools import need

SCOPE = "repository:library/oci:pull"
LOGIN = {"grant_type": "password", "username": "alice", "password": "s3cret"}
NAMES = {"service": SERVICE, "client_id": "tests", "scope": SCOPE}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenService:
    need("openssl")
    service = TokenService(tmp_path_factory.mktemp("tokens"), "alice:s3cret", offline=True)
    service.create_key()
    return service


def by_form(tokens: TokenService, form: dict[str, str]) -> dict[str, object]:
    return tokens.by_form(FORM, urlencode(form).encode())


def test_a_refresh_token_is_given_to_who_asks_and_holds_until_it_is_revoked(
    tokens: TokenService,
) -> None:
    assert "refresh_token" not in by_form(tokens, LOGIN | NAMES)
    given = by_form(tokens, LOGIN | NAMES | {"access_type": "offline"})["refresh_token"]
    form = NAMES | {"grant_type": "refresh_token", "refresh_token": str(given)}
    assert by_form(tokens, form)["scope"] == SCOPE
    assert "access_token" in by_form(tokens, form)
    tokens.revoke()
    with pytest.raises(Refused, match="invalid_grant"):
        by_form(tokens, form)


@pytest.mark.parametrize(
    "wrong",
    [
        {"service": "another"},
        {"client_id": ""},
        {"grant_type": "client_credentials"},
        {"grant_type": "refresh_token"},
        {"grant_type": "refresh_token", "refresh_token": "made up"},
        {"password": "wrong"},
    ],
)
def test_a_form_that_is_not_right_is_refused(tokens: TokenService, wrong: dict[str, str]) -> None:
    with pytest.raises(Refused):
        by_form(tokens, LOGIN | NAMES | wrong)


def test_a_form_of_another_type_or_with_a_parameter_twice_is_refused(tokens: TokenService) -> None:
    body = urlencode(LOGIN | NAMES).encode()
    assert "access_token" in tokens.by_form(f"{FORM}; charset=utf-8", body)
    for kind, data in (("application/json", body), (FORM, body + b"&scope=more")):
        with pytest.raises(Refused):
            tokens.by_form(kind, data)


def test_a_query_for_another_service_or_without_the_password_is_refused(
    tokens: TokenService,
) -> None:
    right = "Basic YWxpY2U6czNjcmV0"
    assert "token" in tokens.by_query(f"/token?service={SERVICE}", right)
    for target, login in (("/token?service=another", right), (f"/token?service={SERVICE}", "")):
        with pytest.raises(Refused):
            tokens.by_query(target, login)
