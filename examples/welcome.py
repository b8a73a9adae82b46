"""One welcome in two languages, looked at before anybody gets it: `CLARION_KEY=clk_… python examples/welcome.py`."""

import os

from clarion.client import Client

SIGNED = {
    "template": "signed",
    "locale": "en",
    "part": {"en": "{% block body %}{% endblock %} {{ t('yours') }} Acme"},
    "texts": {"en": {"yours": "Yours,"}, "de": {"yours": "Deine"}},
}
WELCOME = {
    "template": "welcome",
    "locale": "en",
    "channels": {
        "inbox": {
            "en": {
                "title": "Welcome, {{ recipient.name }}",
                "body": "{% extends 'signed' %}{% block body %}You have {{ payload.count|plural(one='# voucher', other='# vouchers') }}"
                " worth {{ payload.worth|currency('EUR') }}.{% endblock %}",
            },
            "de": {
                "title": "Willkommen, {{ recipient.name }}",
                "body": "{% extends 'signed' %}{% block body %}Du hast {{ payload.count|plural(one='# Gutschein', other='# Gutscheine') }}"
                " im Wert von {{ payload.worth|currency('EUR') }}.{% endblock %}",
            },
        }
    },
}
ANN = {"id": "ann", "name": "Ann", "locale": "de-AT"}
GIFT = {"count": 2, "worth": 12.5}

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.put_template(SIGNED)
    clarion.put_template(WELCOME)
    clarion.put_workflow({"workflow": "welcome", "steps": [{"inbox": {"template": "welcome"}}]})
    seen = clarion.preview_template("welcome", {"recipient": ANN, "payload": GIFT})
    sent = clarion.trigger("welcome", [ANN], GIFT)

shown = seen["channels"]["inbox"]["content"]
print(shown["title"])
print(shown["body"])
print(sent.durability)
