"""``python -m tests.compat URL CERTIFICATE CLIENT …``: what each client gets of each feature, as JSON.

A result is ``works``, ``refused: CODE`` with OpenAI's error code as the client hands it on, or what else happened.
"""

from __future__ import annotations

import importlib
import json
import os
import ssl
import sys
from pathlib import Path

from tests.compat.features import FEATURES

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it looks for prices elsewhere


def result(ask):
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  # whatever a client makes of an error is the result
        body = getattr(error, "body", None)
        code = body.get("code") if isinstance(body, dict) else getattr(error, "code", None)
        if isinstance(code, str) and not code.isdecimal():
            return f"refused: {code}"
        status = getattr(error, "status_code", None)
        return f"refused: HTTP {status}" if status else f"{type(error).__name__}: {str(error)[:300]}"


def main():
    url, certificate, *names = sys.argv[1:]
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    table = {}
    for name in names:
        module = importlib.import_module(f"tests.compat.{name}_client")
        client = module.client(url, Path(certificate) if name == "curl" else context)
        table[client.name] = {"version": client.version}
        for feature in FEATURES:
            if feature in client.features:
                table[client.name][feature] = result(client.features[feature])
                sys.stderr.write(f"{client.name}: {feature}: {table[client.name][feature]}\n")
    print(json.dumps(table))


if __name__ == "__main__":
    main()
