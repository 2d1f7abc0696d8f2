const url = process.env.API_URL;
const input = `${url}/openapi.json`;
// Where an operation can answer by the line, orval's fetch reads no answer at all.
const override = { contentType: { exclude: ["application/x-ndjson"] } };

export default {
  fetch: { input, output: { client: "fetch", target: "generated/fetch.ts", baseUrl: url, override } },
  zod: { input, output: { client: "zod", target: "generated/zod.ts" } },
};
