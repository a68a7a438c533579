"""Whatever a file of keys holds, it is refused in one sentence, or each key in it can verify.

The first byte chooses a JWK set or a bundle of certificates.
"""

from distcache.access import keys

WORDS = (
    b'{"keys":[',
    b'{"kty":"OKP","crv":"Ed25519","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}',
    b'{"kty":"RSA","n":"AQAB","e":"AQAB"}',
    b'{"kty":"EC","crv":"P-256","x":"","y":""}',
    b'"kty":"oct","k":"AA"',
    b'"kid":"k"',
    b'"alg":"ES256"',
    b"-----BEGIN CERTIFICATE-----\n",
    b"-----END CERTIFICATE-----\n",
)


def one_input(data: bytes) -> None:
    read = keys.bundle if (data[:1] or b"\0")[0] % 2 else keys.key_set
    try:
        found = read(data[1:])
    except ValueError as error:
        sentence = str(error)
        assert sentence.startswith(("is no JSON Web Key Set", "keys[", "holds no", "a key is"))
        return
    for name, key in found.by_id.items():
        assert name
        assert keys.algorithms(key) <= keys.ALGORITHMS
        assert keys.algorithms(key), key
        assert keys.thumbprint(key) == keys.thumbprint(key)
