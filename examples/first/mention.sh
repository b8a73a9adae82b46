#!/bin/sh
# ann gets an email address and a phone, and Cleo mentions her.
set -e
call() {
  curl -sS --fail-with-body "$CLARION_URL$1" -H "Authorization: Bearer $CLARION_KEY" -H 'Content-Type: application/json' -d "$2"
  echo
}

call /v1/subscribers '{"subscribers": [{"id": "ann", "email": "ann@example.org", "time_zone": "Europe/Berlin"}]}'
call /v1/users/ann/push/devices '{"fcm": "a-phone"}'
call /v1/triggers '{"workflow": "mention", "recipients": ["ann"], "actor": "cleo", "payload": {"actor": "Cleo", "text": "look at this"}}'
