"use strict";

(() => {
  const TOKEN = "orderstream:token"; // its key in the session storage, which the browser empties with the window
  const EMPTY_HEADERS = '{\n  "Authorization": "Bearer "\n}';
  const TABS = "graphiql:tabState"; // GraphiQL's own keys in the local storage
  const WITH_HEADERS = [TABS, "graphiql:queries", "graphiql:favorites"];
  const MOST_EVENTS = 100; // of a subscription that stay on the screen
  const SLOWEST_RETRY = 15_000; // milliseconds
  const FORBIDDEN = 4403; // the close code that says that no retry will help

  const endpoint = location.origin + location.pathname;
  const { createElement, useEffect, useState } = React;
  const element = (id) => document.getElementById(id);

  // --- The token -----------------------------------------------------------------------------------------------

  const currentToken = () => sessionStorage.getItem(TOKEN) ?? "";

  function keepToken(text) {
    const token = text.trim().replace(/^bearer\s+/i, "");
    if (token) sessionStorage.setItem(TOKEN, token);
    else sessionStorage.removeItem(TOKEN);
    element("token").value = token;
    return showWhoThisIs();
  }

  /** Takes the token out of #token=…, so that it stays neither in the address bar nor in a copied link. */
  function takeTokenFromAddress() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given === null) return null;
    history.replaceState(null, "", location.pathname + location.search);
    return given;
  }

  /** What goes with a request: the header editor's, and the bar's token unless the editor has one of its own. */
  function headersFor(edited) {
    const headers = {};
    for (const [name, value] of Object.entries(edited ?? {})) {
      const authorization = name.toLowerCase() === "authorization";
      if (!authorization) headers[name] = String(value);
      else if (!/^\s*(bearer)?\s*$/i.test(value)) headers.Authorization = String(value);
    }
    if (!headers.Authorization && currentToken()) headers.Authorization = `Bearer ${currentToken()}`;
    return headers;
  }

  function say(id, text, mood = "") {
    element(id).textContent = text;
    element(id).className = mood;
  }

  async function showWhoThisIs() {
    if (!currentToken()) {
      say("who", "No token yet: give one here. See scripts/token --help.");
      return;
    }
    const answer = await post({ query: "{ viewer { name scopes allChannels channels { code } } }" }, headersFor());
    const viewer = answer.data?.viewer;
    if (!viewer) {
      say("who", answer.errors?.[0]?.message ?? "The token could not be checked.", "bad");
      element("who").title = "";
      return;
    }
    const channels = viewer.allChannels ? "all channels" : viewer.channels.map(({ code }) => code).join(", ");
    say("who", `${viewer.name} · ${channels}`, "good");
    element("who").title = viewer.scopes.join("\n");
  }

  // --- Requests ------------------------------------------------------------------------------------------------

  const refusal = (message) => ({ errors: [{ message }] });

  async function post(request, headers) {
    let response;
    try {
      response = await fetch(endpoint, {
        method: "POST",
        credentials: "omit",
        headers: { "Content-Type": "application/json", Accept: "application/json", ...headers },
        body: JSON.stringify(request),
      });
    } catch (error) {
      return refusal(`The request could not be sent, or nothing answered: ${error.message}.`);
    }
    try {
      return await response.json();
    } catch {
      return refusal(`The answer is not JSON; its status is ${response.status}.`);
    }
  }

  async function postAndTell(request, headers) {
    const answer = await post(request, headers);
    if (answer.errors?.some((error) => error.extensions?.code === "UNAUTHENTICATED")) {
      say("who", "This needs a good token: give one here.", "bad");
    }
    return answer;
  }

  /** The schema, for which the server may want a token. One that is not good any more must not hide it from all. */
  async function introspect(request, headers) {
    let answer = await post(request, headers);
    if (!answer.data && headers.Authorization) answer = await post(request, {});
    schemaIsMissing = !answer.data;
    if (!schemaIsMissing) return answer;
    if (!currentToken()) say("who", "No token yet: the documentation needs one, too. See scripts/token --help.");
    return refusal("The server shows its schema to callers with a good token: give one in the bar above.");
  }

  /** How GraphiQL runs everything: subscriptions over WebSocket, the rest by POST. */
  function fetcher(request, { headers, documentAST } = {}) {
    if (request.operationName === "IntrospectionQuery") return introspect(request, headersFor(headers));
    const operation = documentAST && GraphiQL.GraphQL.getOperationAST(documentAST, request.operationName);
    return operation?.operation === "subscription"
      ? follow(request, operation, headersFor(headers))
      : postAndTell(request, headersFor(headers));
  }

  // --- Subscriptions -------------------------------------------------------------------------------------------

  /** The subscription as an observable of all its events so far. */
  function follow(request, operation, headers) {
    if (!headers.Authorization) {
      say("who", "A subscription needs a token: give one here.", "bad");
      return refusal("A subscription needs a token: give one in the bar above.");
    }
    const resumable = operation.variableDefinitions?.some(({ variable }) => variable.name.value === "after");
    const payload = { ...request };
    const events = [];
    let received = 0;

    function keep(event) {
      received += 1;
      events.unshift(event);
      events.length = Math.min(events.length, MOST_EVENTS);
      // The client sends the payload again after a break: with this, what happened meanwhile comes first.
      const cursor = Object.values(event.data ?? {})[0]?.cursor;
      if (resumable && cursor) payload.variables = { ...payload.variables, after: cursor };
      return { received, newestFirst: events };
    }

    return {
      subscribe(observer) {
        let open = true; // what still comes after the end must not touch a later subscription
        const status = (text, mood) => open && say("live", text, mood);
        const end = () => {
          status("");
          open = false;
        };
        const stop = liveClient(headers, status).subscribe(payload, {
          next: (event) => open && observer.next(keep(event)),
          error(problem) {
            if (!open) return;
            end();
            observer.next(problemAsAnswer(problem));
            observer.complete();
          },
          complete() {
            if (!open) return;
            end();
            observer.complete();
          },
        });
        return {
          unsubscribe() {
            end();
            stop();
          },
        };
      },
    };
  }

  /** A client that connects again for as long as somebody subscribes. Its last unsubscriber closes the socket. */
  function liveClient(headers, status) {
    return graphqlWs.createClient({
      url: endpoint.replace(/^http/, "ws"),
      connectionParams: headers,
      retryAttempts: Infinity,
      shouldRetry: (problem) => problem.code !== FORBIDDEN,
      retryWait: (retries) => {
        status("Live: the connection was lost; trying again …", "bad");
        const wait = Math.min(500 * 2 ** retries, SLOWEST_RETRY);
        return new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
      },
      on: { connected: () => status("Live: connected", "good") },
    });
  }

  function problemAsAnswer(problem) {
    if (Array.isArray(problem)) return { errors: problem };
    if (problem.code) return refusal(`The server closed the connection: ${problem.reason} (${problem.code})`);
    return refusal(problem.message ?? "The connection failed.");
  }

  // --- GraphiQL ------------------------------------------------------------------------------------------------

  /** The explorer, tied to the editor of whichever tab is open. */
  function Explorer() {
    const { queryEditor } = GraphiQL.React.useEditorContext({ nonNull: true });
    const [query, setQuery] = useState("");
    useEffect(() => {
      if (!queryEditor) return undefined;
      const read = () => setQuery(queryEditor.getValue());
      read();
      queryEditor.on("change", read);
      return () => queryEditor.off("change", read);
    }, [queryEditor]);
    const onEdit = (text) => queryEditor?.setValue(text);
    return GraphiQLPluginExplorer.useExplorerPlugin({ query, onEdit, showAttribution: false }).content();
  }

  function ExplorerIcon() {
    const line = { fill: "none", stroke: "currentColor", strokeWidth: 1.5, strokeLinecap: "round" };
    const path = createElement("path", { ...line, d: "M4 5h4M4 5v14h4M4 12h4M12 5h8M12 12h8M12 19h8" });
    return createElement("svg", { viewBox: "0 0 24 24", height: "1em" }, path);
  }

  /** The tabs as GraphiQL keeps them. */
  function storedTabs() {
    const stored = JSON.parse(localStorage.getItem(TABS) ?? "null");
    return stored?.tabs?.length ? stored : null;
  }

  function exampleTabs() {
    const examples = JSON.parse(element("examples").textContent);
    const tabs = examples.map(({ name, query, variables }) => ({
      id: name,
      title: name,
      query,
      variables,
      headers: EMPTY_HEADERS,
      operationName: null,
      response: null,
    }));
    return { activeTabIndex: 0, tabs };
  }

  /**
   * The local storage, in which GraphiQL keeps tabs and history, but for two things. What was typed as headers does
   * not get there, because a token must not outlive its window. And what GraphiQL keeps of the open tab a second
   * time, under these keys, is read from the tab: where the two differ it would open that tab twice.
   */
  const OF_THE_OPEN_TAB = { "graphiql:query": "query", "graphiql:variables": "variables", "graphiql:headers": "headers" };

  const storage = {
    get length() {
      return localStorage.length;
    },
    getItem(key) {
      if (!(key in OF_THE_OPEN_TAB)) return localStorage.getItem(key);
      const { tabs, activeTabIndex } = storedTabs() ?? exampleTabs();
      return tabs[activeTabIndex]?.[OF_THE_OPEN_TAB[key]] ?? null;
    },
    setItem(key, value) {
      if (key in OF_THE_OPEN_TAB) return;
      localStorage.setItem(key, WITH_HEADERS.includes(key) ? withoutHeaders(value) : value);
    },
    removeItem: (key) => localStorage.removeItem(key),
    clear: () => localStorage.clear(),
  };

  function withoutHeaders(text) {
    return JSON.stringify(JSON.parse(text, (name, value) => (name === "headers" ? EMPTY_HEADERS : value)));
  }

  function putExamplesIntoTabs() {
    localStorage.setItem(TABS, JSON.stringify(exampleTabs()));
  }

  let schemaIsMissing = false;

  function start() {
    if (!storedTabs()) putExamplesIntoTabs();
    const graphiql = createElement(GraphiQL, {
      fetcher,
      storage,
      defaultHeaders: EMPTY_HEADERS,
      defaultEditorToolsVisibility: "variables",
      shouldPersistHeaders: false,
      plugins: [{ title: "Explorer", icon: ExplorerIcon, content: () => createElement(Explorer) }],
    });
    ReactDOM.render(graphiql, element("graphiql"));
  }

  /** Keep the token, and read the schema with it if that was refused before. */
  async function useToken(text) {
    await keepToken(text);
    if (schemaIsMissing) document.querySelector('[aria-label="Re-fetch GraphQL schema"]').click();
  }

  element("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useToken(element("token").value);
  });
  // A window that a script opens starts with a copy of this one's session storage, and so with the token.
  element("second").addEventListener("click", () => window.open(endpoint));
  element("reset").addEventListener("click", () => {
    if (!confirm("Replace all tabs by the examples? What you wrote in them is lost.")) return;
    putExamplesIntoTabs();
    location.reload();
  });
  window.addEventListener("hashchange", () => {
    const given = takeTokenFromAddress();
    if (given !== null) useToken(given);
  });
  keepToken(takeTokenFromAddress() ?? currentToken());
  start();
})();
