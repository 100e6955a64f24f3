"""A WebSocket server that sends trades at a rate, each with the moment at which it was sent.

`python -m benchmarks.feed_server RATE SECONDS`: it prints its port, takes registrations, and then
sends one trade a frame to whoever connected. It imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import time

from websockets.sync.server import ServerConnection, serve

HEAD = "100001^{price}^2^100^0.10^70950.25^70300^71500^69900^71200^71100^10^{volume}^{sent}"
TAIL = (
    "^3120^4015^895^112.40^580120^652010^1^0.52^123.46^090005^2^900^101244^5^-300^090130^2^1300"
    "^20260317^20^N^1520^980^49770^51893^0.82^640210^192.84^0^^70300^2"
)
_PIECES = 500
"""Times a second that the server wakes up."""


def main() -> None:
    """Serve one client."""
    rate, seconds = float(sys.argv[1]), float(sys.argv[2])

    def talk(connection: ServerConnection) -> None:
        codes: list[str] = []
        try:
            while True:
                wanted = json.loads(connection.recv(timeout=1.0))["body"]["input"]
                codes.append(wanted["tr_key"])
                header = {"tr_id": wanted["tr_id"], "tr_key": wanted["tr_key"], "encrypt": "N"}
                body = {"rt_cd": "0", "msg_cd": "OPSP0000", "msg1": "SUBSCRIBE SUCCESS"}
                connection.send(json.dumps({"header": header, "body": body}))
        except TimeoutError:
            pass
        _send(connection, codes, rate, seconds)

    with serve(talk, "127.0.0.1", 0, compression=None) as server:
        print(server.socket.getsockname()[1], flush=True)
        server.serve_forever()


def _send(connection: ServerConnection, codes: list[str], rate: float, seconds: float) -> None:
    began, sent = time.monotonic(), 0
    volumes = dict.fromkeys(codes, 0)
    while (passed := time.monotonic() - began) < seconds:
        while sent < passed * rate:
            code = codes[sent % len(codes)]
            volumes[code] += 10
            now = time.monotonic_ns() // 1_000
            head = HEAD.format(price=71_000 + sent % 50, volume=volumes[code], sent=now)
            connection.send(f"0|H0STCNT0|001|{code}^{head}{TAIL}")
            sent += 1
        time.sleep(1 / _PIECES)
    time.sleep(2)


if __name__ == "__main__":
    main()
