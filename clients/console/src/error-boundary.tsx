/** What is shown instead of a page that has thrown: better than an empty one. */

import { Component, type ReactNode } from "react";

export class ErrorBoundary extends Component<{ children: ReactNode }, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError() {
    return { hasFailed: true };
  }

  override render() {
    if (!this.state.hasFailed) return this.props.children;
    return (
      <main className="sign-in">
        <div className="card sign-in-card" role="alert">
          <h1>This page has stopped</h1>
          <p className="muted">That is a mistake of ours. Your notifications are safe on the server.</p>
          <button type="button" className="button primary" onClick={() => location.reload()}>
            Load it again
          </button>
        </div>
      </main>
    );
  }
}
