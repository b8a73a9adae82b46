/** Where the page begins. */

import { createSession } from "@clarion/client";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import { ErrorBoundary } from "./error-boundary.tsx";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/layout.css";
import "./styles/inbox.css";
import "./styles/toasts.css";
import "./styles/captures.css";
import "./styles/overview.css";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <ErrorBoundary>
      <App session={createSession()} />
    </ErrorBoundary>
  </StrictMode>,
);
