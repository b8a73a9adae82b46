// Shows the OpenAPI document of this server, and lets people try its operations. Text goes into the page as text nodes alone.

const BODY = "application/json";
let api;

/** An element: attributes, then children (text or elements; null is left out). */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text whose `backticks` are code. */
function prose(text) {
  return text.split("`").map((part, i) => (i % 2 ? h("code", null, part) : part));
}

function paragraphs(text) {
  return (text ?? "").split(/\n\n+/).filter(Boolean).map((part) => h("p", null, prose(part)));
}

function resolved(value) {
  let found = value;
  while (found?.$ref) {
    found = found.$ref.slice(2).split("/").reduce((at, step) => at[step], api);
  }
  return found;
}

// ── schemas ──
/** A type in a few words. */
function typeOf(given) {
  if (given?.$ref) return given.$ref.split("/").pop();
  if (!given || Object.keys(given).length === 0) return "anything";
  if (given.anyOf) return given.anyOf.map(typeOf).join(" or ");
  if (given.enum) return given.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in given) return JSON.stringify(given.const);
  if (given.type === "array") return `list of ${typeOf(given.items)}`;
  return given.format ? `${given.type} (${given.format})` : String(given.type);
}

const RULES = {
  minLength: "characters: at least #",
  maxLength: "characters: at most #",
  minItems: "items: at least #",
  maxItems: "items: at most #",
  minimum: "at least #",
  maximum: "at most #",
  pattern: "matches #",
  default: "default #",
};

function rulesOf(given) {
  const one = given.anyOf?.find((part) => part.type !== "null") ?? given;
  const all = { ...one, ...given };
  return Object.entries(RULES)
    .filter(([name]) => name in all && all[name] !== null && all[name] !== "")
    // The patterns' `$(?!\n)` is for Python, whose `$` also matches before a last line feed.
    .map(([name, text]) => text.replace("#", () => String(all[name]).replace("$(?!\\n)", "$")));
}

/** The structs that a schema is made of, looking through lists and alternatives. */
function structsIn(given) {
  if (!given) return [];
  const parts = [...(given.anyOf ?? []), given.items, given.additionalProperties].filter((part) => typeof part === "object");
  if (given.$ref) {
    const found = resolved(given);
    return found.properties ? [found] : structsIn(found);
  }
  return given.properties ? [given] : parts.flatMap(structsIn);
}

function fieldsOf(struct, seen = []) {
  const required = new Set(struct.required ?? []);
  return h(
    "ul",
    { class: "fields" },
    Object.entries(struct.properties).map(([name, field]) =>
      h(
        "li",
        null,
        h("code", null, name),
        ` ${typeOf(field)} `,
        h("span", { class: "soft" }, [required.has(name) ? "required" : "optional", ...rulesOf(field)].join(" · ")),
        field.description ? h("p", null, prose(field.description)) : null,
        structsIn(field).filter((inner) => !seen.includes(inner)).map((inner) => fieldsOf(inner, [...seen, struct, inner])),
      ),
    ),
  );
}

function schemaOf(schema) {
  const structs = structsIn(schema);
  return [
    structs.flatMap((struct) => paragraphs(struct.description)),
    structs.length ? structs.map((struct) => fieldsOf(struct, [struct])) : h("p", null, typeOf(schema)),
  ];
}

const titleOf = (op) => op.summary.replace(/\.$/, "");
const shown = (value) => h("pre", { tabindex: "0" }, typeof value === "string" ? value : JSON.stringify(value, null, 2));

// ── an operation ──
function operation(method, path, op) {
  const body = op.requestBody?.content[BODY];
  return h(
    "article",
    { id: op.operationId, "aria-labelledby": `${op.operationId}-title` },
    h("h3", { id: `${op.operationId}-title` }, titleOf(op)),
    h("p", { class: "route path" }, h("span", { class: `method ${method}` }, method.toUpperCase()), ` ${path}`),
    paragraphs(op.description),
    op.parameters.length ? [h("h4", null, "Parameters"), parameters(op.parameters)] : null,
    body ? [h("h4", null, "Body"), schemaOf(body.schema), body.example ? shown(body.example) : null] : null,
    h("h4", null, "Answers"),
    Object.entries(op.responses).map(([status, answer]) => response(status, answer)),
    h("details", null, h("summary", null, "Try it"), attempt(method, path, op)),
  );
}

function parameters(all) {
  const properties = Object.fromEntries(all.map((p) => [p.name, { ...p.schema, description: `In the ${p.in}. ${p.description}` }]));
  return fieldsOf({ properties, required: all.filter((p) => p.required).map((p) => p.name) });
}

function response(status, answer) {
  const contents = Object.entries(answer.content ?? {});
  const title = [h("strong", null, status), ` ${answer.description}`];
  if (!contents.length) return h("p", null, title);
  return h(
    "details",
    null,
    h("summary", null, title),
    contents.map(([media, content]) => [
      h("p", { class: "soft" }, media),
      content.examples ? Object.entries(content.examples).map(([code, example]) => problem(code, example)) : schemaOf(content.schema),
    ]),
  );
}

function problem(code, example) {
  return [h("p", null, h("a", { href: `errors/${code}` }, h("code", null, code))), shown(resolved(example).value)];
}

// ── trying ──
function attempt(method, path, op) {
  const inputs = op.parameters.map((parameter) => {
    const id = `${op.operationId}-${parameter.name}`;
    const choices = parameter.schema.enum;
    const control = choices
      ? h("select", { id }, parameter.required ? null : h("option", { value: "" }, "–"), choices.map((choice) => h("option", null, choice)))
      : h("input", { id, required: parameter.required, spellcheck: "false" });
    return { parameter, control, row: h("div", null, h("label", { for: id }, `${parameter.name} (${parameter.in})`), control) };
  });
  const content = op.requestBody?.content[BODY];
  const body = content ? h("textarea", { id: `${op.operationId}-body`, spellcheck: "false" }) : null;
  if (body) body.value = JSON.stringify(content.example ?? {}, null, 2);
  const output = h("div", { "aria-live": "polite" });
  const button = h("button", { type: "submit" }, `Send ${method.toUpperCase()}`);

  async function send(event) {
    event.preventDefault();
    button.disabled = true;
    try {
      output.replaceChildren(...(await call(method, path, inputs, body)));
    } catch (error) {
      output.replaceChildren(h("p", { class: "bad" }, `No answer: ${error.message}`));
    } finally {
      button.disabled = false;
    }
  }

  const bodyRow = body ? h("div", null, h("label", { for: body.id }, "Body (JSON)"), body) : null;
  return h("form", { class: "try", onsubmit: send }, inputs.map((input) => input.row), bodyRow, button, output);
}

async function call(method, path, inputs, body) {
  const headers = {};
  const query = new URLSearchParams();
  let target = path;
  for (const { parameter, control } of inputs) {
    if (!control.value) continue;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(control.value));
    else if (parameter.in === "query") query.set(parameter.name, control.value);
    else headers[parameter.name] = control.value;
  }
  const token = document.getElementById("token").value.trim();
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = BODY;
  const url = new URL(target.slice(1) + (query.size ? `?${query}` : ""), document.baseURI);
  const answer = await fetch(url, { method: method.toUpperCase(), headers, body: body?.value });
  const text = await answer.text();
  const facts = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  return [
    h("p", { class: answer.ok ? null : "bad" }, h("strong", null, `${answer.status} ${answer.statusText}`)),
    text ? shown(pretty(text)) : null,
    h("details", null, h("summary", null, "Headers"), shown(facts)),
  ].filter(Boolean);
}

function pretty(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// ── the page ──
async function show() {
  const main = document.querySelector("main");
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
  api = await answer.json();
  document.getElementById("version").textContent = api.info.version;
  const all = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, op]) => ({ method, path, op })),
  );
  const sections = api.tags.map(({ name }) => ({ name, operations: all.filter(({ op }) => op.tags[0] === name) }));
  document.querySelector("nav").replaceChildren(
    ...sections.flatMap(({ name, operations }) => [
      h("h2", null, name),
      h("ul", null, operations.map(({ op }) => h("li", null, h("a", { href: `#${op.operationId}` }, titleOf(op))))),
    ]),
  );
  main.replaceChildren(...all.map(({ method, path, op }) => operation(method, path, op)));
  // The browser has looked for the anchor before it was there.
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

document.getElementById("credential").addEventListener("submit", (event) => event.preventDefault());
show().catch((error) => {
  document.querySelector("main").replaceChildren(h("p", { class: "bad", role: "alert" }, `The document could not be read. ${error.message}`));
});
