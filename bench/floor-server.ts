import type { AddressInfo } from "node:net";
import express from "express";
import postgres from "postgres";

/**
 * What no server on Express and PostgreSQL can do without: one indexed read or one durable insert per request, with
 * no identity, no schema and no headers of its own. Prints its port once it listens.
 */
async function serve(databaseUrl: string): Promise<void> {
  const sql = postgres(databaseUrl, { max: 10, onnotice: () => {} });
  await sql`create table if not exists documents (id uuid primary key default gen_random_uuid(), document jsonb not null)`;
  const app = express();
  app.use(express.json());
  app.get("/documents/:id", async (req, res) => {
    const [row] = await sql`select id, document from documents where id = ${req.params.id}`;
    res.json(row);
  });
  app.post("/documents", async (req, res) => {
    const [row] =
      await sql`insert into documents (document) values (${sql.json(req.body)}) returning id, document`;
    res.status(201).json(row);
  });
  const server = app.listen(0, "127.0.0.1", () => {
    process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`);
  });
}

await serve(process.argv[2] ?? "");
