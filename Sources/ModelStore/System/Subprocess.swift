import Glibc

/// A child process without input, whose complaints go to a file.
struct Subprocess {
  private let process: pid_t

  /// The path of a program, by the environment's `PATH`.
  static func find(_ program: String, _ environment: [String: String]) -> String? {
    (environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
      .map { "\($0)/\(program)" }
      .first { access($0, X_OK) == 0 }
  }

  /// Starts `program`, a path.
  ///
  /// Standard output goes to the descriptor `output`, or nowhere; standard error to the end of the
  /// file `errors`.
  init(
    _ program: String, _ arguments: [String], environment: [String: String],
    output: Int32? = nil, errors: String
  ) throws(ModelStore.Failure) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    if let output {
      posix_spawn_file_actions_adddup2(&actions, output, 1)
    } else {
      posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    }
    posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
    var variables: [UnsafeMutablePointer<CChar>?] =
      environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for text in words + variables { free(text) } }
    var process: pid_t = 0
    var code = posix_spawn(&process, program, &actions, nil, &words, &variables)
    // A program just written is held open for a moment by what was forked meanwhile.
    for _ in 0..<100 where code == ETXTBSY {
      usleep(10_000)
      code = posix_spawn(&process, program, &actions, nil, &words, &variables)
    }
    guard code == 0 else { throw .file(path: program, action: "run", code: code) }
    self.process = process
  }

  /// The exit status (128 + signal where one ended it), or `nil` where the process still runs.
  func poll() -> Int32? { status(WNOHANG) }

  /// Waits for the end and returns the exit status.
  func wait() -> Int32 { status(0) ?? 127 }

  private func status(_ options: Int32) -> Int32? {
    var status: Int32 = 0
    while true {
      let result = waitpid(process, &status, options)
      if result == 0 { return nil }
      if result < 0, errno == EINTR { continue }
      guard result > 0 else { return 127 }
      let signal = status & 0x7F
      return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
    }
  }
}
