#!/bin/sh
# Any program tells ann something over HTTP.
curl -sS "${CLARION_URL:-http://127.0.0.1:8000}/v1/notifications" \
  -H "Authorization: Bearer $CLARION_KEY" \
  -H "Content-Type: application/json" \
  -H "Idempotency-Key: build-17" \
  -d '{"recipients": ["ann"], "title": "Build 17 is green", "action_url": "/builds/17"}'
