import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";

/** One import of a source file. */
export interface Import {
  /** Path from the root of the repository, or the specifier of a package. */
  readonly target: string;
  readonly isPackage: boolean;
  /** Leaves nothing behind in the JavaScript. */
  readonly isType: boolean;
}

/** A source file with what it imports, exports from, loads dynamically or requires. */
export interface SourceFile {
  /** From the root of the repository, with slashes. */
  readonly path: string;
  /** Without comments. */
  readonly code: string;
  readonly imports: readonly Import[];
}

/** Reads every `.ts` file below the folders, by path. */
export function readSources(root: string, folders: readonly string[]): SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => readSource(root, path.posix.join(folder, name.replaceAll(path.sep, "/")))),
  );
}

function readSource(root: string, file: string): SourceFile {
  const text = readFileSync(path.join(root, file), "utf8");
  const types = new Set(typeSpecifiers(text));
  const specifiers = ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName);
  const imports = [...new Set(specifiers)].map((specifier) => {
    const isPackage = !specifier.startsWith(".");
    const target = isPackage
      ? specifier
      : path.posix.join(path.posix.dirname(file), specifier).replace(/\.js$/, ".ts");
    return { target, isPackage, isType: types.has(specifier) };
  });
  return { path: file, code: withoutComments(text), imports };
}

/** Specifiers that are imported as types only, in all statements that name them. */
function typeSpecifiers(text: string): string[] {
  const found = new Map<string, boolean>();
  for (const statement of ts.createSourceFile("source.ts", text, ts.ScriptTarget.ESNext).statements) {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) continue;
    const { moduleSpecifier } = statement;
    if (moduleSpecifier === undefined || !ts.isStringLiteral(moduleSpecifier)) continue;
    const isType = ts.isImportDeclaration(statement)
      ? isTypeClause(statement.importClause)
      : statement.isTypeOnly || hasTypesOnly(statement.exportClause);
    found.set(moduleSpecifier.text, isType && (found.get(moduleSpecifier.text) ?? true));
  }
  return [...found].flatMap(([specifier, isType]) => (isType ? [specifier] : []));
}

function isTypeClause(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  return clause.isTypeOnly || (clause.name === undefined && hasTypesOnly(clause.namedBindings));
}

function hasTypesOnly(bindings: ts.NamedImportBindings | ts.NamedExportBindings | undefined): boolean {
  if (bindings === undefined || !(ts.isNamedImports(bindings) || ts.isNamedExports(bindings))) return false;
  return bindings.elements.every((element: ts.ImportSpecifier | ts.ExportSpecifier) => element.isTypeOnly);
}

function withoutComments(text: string): string {
  const { outputText } = ts.transpileModule(text, {
    compilerOptions: { removeComments: true, target: ts.ScriptTarget.ESNext, verbatimModuleSyntax: true },
  });
  return outputText;
}
