"""A chat in front of Django, in one file: `uvicorn examples.django_app:app`. In a project this is `asgi.py` and a view."""

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

from clarion.realtime import Server, Socket

io = Server()


@io.on("connection")
def connected(socket: Socket) -> None:
    socket.join("lobby")

    @socket.on("say")
    def say(text: str) -> dict[str, bool]:
        socket.to("lobby").emit("said", text)
        return {"ok": True}


@require_POST
async def announce(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"told": io.to("lobby").emit("said", request.GET["text"])})


async def tell(text: str) -> int:
    return io.to("lobby").emit("said", text)


@require_POST
def announce_sync(request: HttpRequest) -> JsonResponse:
    # A plain view runs in a thread: sockets belong to the event loop, so the call goes there and back.
    return JsonResponse({"told": async_to_sync(tell)(request.GET["text"])})


urlpatterns = [path("announcements", announce), path("sync/announcements", announce_sync)]

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="example")

app = io.app(get_asgi_application())
