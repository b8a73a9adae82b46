#!/bin/sh
# What became of ann's newest run, step by step; and whether she would get the email now.
set -e
get() {
  curl -sS --fail-with-body "$CLARION_URL$1" -H "Authorization: Bearer $CLARION_KEY"
}

run=$(get '/v1/runs?user=ann&workflow=mention&limit=1' | sed 's/.*"items":\[{"id":"\([^"]*\)".*/\1/')
get "/v1/runs/$run"
echo
get '/v1/subscribers/ann/preferences/explain?channel=email&workflow=mention'
echo
