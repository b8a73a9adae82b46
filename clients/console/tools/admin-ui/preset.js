// The admin page asks where the server is: it is where the page comes from, at the path (seen from here) and namespace that the server wrote.
(() => {
  const { path, namespace } = document.currentScript.dataset;
  localStorage.setItem("path", new URL(path, location).pathname);
  localStorage.setItem("namespace", namespace);
  new MutationObserver((_, observer) => {
    const field = document.querySelector("form input[required]");
    if (field === null) return;
    observer.disconnect();
    if (field.value !== "") return;
    field.value = location.origin;
    field.dispatchEvent(new Event("input"));
  }).observe(document, { childList: true, subtree: true });
})();
