/** A program to start. The guard adds the user to run as and the working folder. */
export interface ServerCommand {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** The name that the program sees as its own, for binaries that choose their role by it. */
  readonly argv0?: string
}

/** What the guard is told when it is started; it goes through argv, so it holds no secrets. */
export interface GuardOptions {
  /** The guard makes the data folder itself, with `mkdtemp` on this prefix. */
  readonly folderPrefix: string
  /** Whom the programs run as and the folder belongs to; absent: the user of the guard. */
  readonly owner?: { readonly uid: number; readonly gid: number }
  /** The signal that ends the server when its data are thrown away with it. */
  readonly endSignal: NodeJS.Signals
  /** Run after the server has ended, before the guard goes. */
  readonly cleanup?: ServerCommand
}

export type GuardTask =
  /** Runs a program to its end. Answer: {@link RunResult}. */
  | { readonly task: 'run'; readonly command: ServerCommand; readonly input?: string }
  /** Starts the server in a process group of its own. Answer: its pid. */
  | { readonly task: 'start'; readonly command: ServerCommand }
  /** Ends the server and everything it started; SIGKILL after `graceMs`. Answers when all are gone. */
  | { readonly task: 'end'; readonly signal: NodeJS.Signals; readonly graceMs: number }
  /** Ends the server, removes the folder and exits. No answer: the exit is the answer. */
  | { readonly task: 'close' }

export type GuardRequest = GuardTask & { readonly id: number }

export interface RunResult {
  readonly code: number
  readonly output: string
}

export type GuardMessage =
  | { readonly event: 'ready'; readonly folder: string }
  | { readonly event: 'exited'; readonly code: number | null; readonly signal: string | null }
  | { readonly event: 'done'; readonly id: number; readonly value: unknown }
  | { readonly event: 'failed'; readonly id: number; readonly message: string }
