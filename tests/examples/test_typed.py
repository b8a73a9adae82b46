"""The example of typed handlers, as a client meets it."""

from examples.typed import listen

from tests.support.memory_transport import MemoryClient, make_server


async def test_what_the_page_says_about_typed_handlers() -> None:
    """A good message is counted to whom it went, a bad one is refused with a pointer to the fault."""
    io = make_server()
    listen(io)
    client, other = MemoryClient(io), MemoryClient(io)
    await client.join()
    io.sockets[await other.join()].join("lobby")
    client.say('420["say",{"text":"hi"}]', '421["say",{"text":5}]', '422["say",{"text":""}]')
    good, wrong, empty = await client.hear()
    assert good == "430[1]"
    assert '"code":"invalid"' in wrong
    assert '"pointer":"/0/text","detail":"Expected `str`, got `int`"' in wrong
    assert '"pointer":"/0/text"' in empty
    assert await other.hear() == ['42["said","hi"]']
