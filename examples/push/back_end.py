"""A push message to each device of a user; if none has shown it within five minutes, the inbox has to do.

python examples/push/back_end.py http://127.0.0.1:8000 clk_… ann
"""

import sys

from clarion.client import Client

WORKFLOW = {
    "workflow": "parcel",
    "payload": {"type": "object", "required": ["number"]},
    "steps": [
        {
            "id": "phone",
            "push": {
                "title": "Your parcel is here",
                "body": "Parcel {{ payload.number }} waits at the door.",
                "url": "/parcels/{{ payload.number }}",
                "tag": "parcel-{{ payload.number }}",
                "ttl": 3600,
            },
        },
        {"wait": {"message": "phone", "is": "delivered", "timeout": "5m"}},
        {"stop": "phone.delivered"},
        {"inbox": {"title": "Your parcel is here"}},
    ],
}


def main(url: str, key: str, user: str) -> None:
    with Client(url, key=key) as clarion:
        clarion.put_workflow(WORKFLOW)
        for device in clarion.push_devices(user):
            print(device.kind, device.label, "since", device.created_at)
        clarion.trigger("parcel", [{"id": user}], {"number": 17})


if __name__ == "__main__":
    main(*sys.argv[1:])
