// What the client's own functions make of access lists and patterns, for the test
// in Go to compare with.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import * as core from "@liveblocks/core";
import { build, stop } from "esbuild";
import { scenario } from "../scene.mjs";

/** inner are functions of the client that it does not export, as they are in its package. */
async function inner(...names) {
  const file = createRequire(import.meta.url).resolve("@liveblocks/core").replace(/\.cjs$/, ".js");
  const { outputFiles } = await build({
    stdin: { contents: `${await readFile(file, "utf8")}\nexport { ${names.join(", ")} };`, resolveDir: dirname(file), loader: "js" },
    bundle: true, write: false, format: "esm", platform: "node",
  });
  await stop();
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

scenario("resolution", async (s) => {
  const { resolveRoomPermissionMatrix, permissionMatrixToScopes } = await inner("resolveRoomPermissionMatrix", "permissionMatrixToScopes");
  const questions = JSON.parse(await s.ask("questions"));
  const answers = questions.map((q) => {
    if (q.valid) return core.validatePermissionsSet(q.valid) === true ? [] : ["invalid"];
    if (q.patterns) {
      const matrix = resolveRoomPermissionMatrix(Object.entries(q.patterns).map(([pattern, scopes]) => ({ pattern, scopes })), q.room);
      return matrix ? permissionMatrixToScopes(matrix) : [];
    }
    return core.mergeRoomPermissionScopes({
      defaultAccesses: q.default,
      groupsAccesses: q.ids.filter((g) => Object.hasOwn(q.groups, g)).map((g) => q.groups[g]),
      userAccesses: Object.hasOwn(q.users, q.user) ? q.users[q.user] : [],
    });
  });
  await s.ask(JSON.stringify(answers));
});
