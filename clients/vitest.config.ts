import { defineConfig } from "vitest/config";

const conditions = ["clarion-source"];

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: { name: "client", include: ["client/test/**/*.test.ts"], environment: "node" },
      },
      {
        resolve: { conditions },
        test: { name: "console", include: ["console/test/**/*.test.{ts,tsx}"], environment: "happy-dom" },
      },
    ],
  },
});
