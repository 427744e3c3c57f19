import Foundation
import ModelStore
import Synchronization
import Testing

/// Fetches from a server of the hub's form that the test runs itself.
@Suite struct HubTests {
  static let model = Array("GGUF".utf8) + (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }
  let cache: TemporaryFolder

  init() throws { cache = try TemporaryFolder() }

  /// A repository `org/repo` with one GGUF file.
  private func server(
    _ change: (inout LocalServer.Resource) -> Void = { _ in }, sha256 hash: String? = nil
  ) -> LocalServer {
    var file = LocalServer.Resource(body: Self.model)
    change(&file)
    let listing = """
      {"id": "org/repo", "sha": "0123", "siblings": [
        {"rfilename": "README.md", "size": 5, "blobId": "aa"},
        {"rfilename": "../../evil.gguf", "size": 5, "blobId": "ab"},
        {"rfilename": "model.gguf", "size": \(Self.model.count), "blobId": "ac",
         "lfs": {"sha256": "\(hash ?? sha256(Self.model))", "size": \(Self.model.count)}}]}
      """
    return LocalServer([
      "/api/models/org/repo": .init(body: Array(listing.utf8)),
      "/org/repo/resolve/main/model.gguf": file,
      "/elsewhere": .init(body: Self.model),
    ])
  }

  private func store(_ server: LocalServer, token: String? = nil) -> ModelStore {
    var environment = ["HF_ENDPOINT": server.url + "/"]
    environment["HF_TOKEN"] = token
    return ModelStore(cache: cache.path, environment: environment)
  }

  private var arrived: [UInt8]? { cache.read("hub/org--repo/model.gguf") }

  @Test(arguments: ["org/repo", "org/repo:model.gguf"])
  func aModelIsFetchedOnce(name: String) throws {
    let server = server()
    let store = store(server)
    let states = Mutex<[FetchProgress]>([])
    let location = try store.locate(name) { state in states.withLock { $0.append(state) } }
    #expect(location.path == cache.path + "/hub/org--repo/model.gguf")
    #expect(arrived == Self.model)
    #expect(!cache.exists("hub/org--repo/model.gguf.partial"))
    #expect(!cache.exists("hub/org--repo/model.gguf.partial.id"))
    let last = states.withLock { $0.last }
    #expect(last?.phase == .done && last?.completed == Self.model.count)
    #expect(states.withLock { $0.contains { $0.completed == Self.model.count } })
    // The second time neither asks the server nor needs one.
    let asked = server.requests.count
    #expect(try store.locate(name) == location)
    #expect(server.requests.count == asked)
    #expect(
      store.cached == [CachedModel(name: name, path: location.path, size: Self.model.count)])
  }

  @Test func aBrokenTransferGoesOnWhereItEnded() throws {
    let server = server { $0.breaksAfter = 100_000 }
    _ = try store(server).locate("org/repo")
    #expect(arrived == Self.model)
    let ranges = server.requests.filter { $0.path.hasSuffix(".gguf") }.map { $0.fields["range"] }
    #expect(ranges == [nil, "bytes=100000-"])
  }

  /// What a killed process leaves: some bytes and the version they are of.
  private func leavePartial(_ bytes: [UInt8], identity: String) throws {
    try cache.write(bytes, to: "hub/org--repo/model.gguf.partial")
    try cache.write(Array((identity + "\n").utf8), to: "hub/org--repo/model.gguf.partial.id")
  }

  @Test func anEarlierProcessesBytesAreKept() throws {
    try leavePartial(Array(Self.model.prefix(1234)), identity: sha256(Self.model))
    let server = server()
    _ = try store(server).locate("org/repo")
    #expect(arrived == Self.model)
    #expect(server.requests.last?.fields["range"] == "bytes=1234-")
  }

  @Test func bytesOfAnotherVersionAreNotJoined() throws {
    try leavePartial(Array(Self.model.prefix(1234)), identity: "another")
    let server = server()
    _ = try store(server).locate("org/repo")
    #expect(arrived == Self.model)
    #expect(server.requests.last?.fields["range"] == nil)
  }

  @Test func aServerWithoutRangesStartsAgain() throws {
    let server = server {
      $0.breaksAfter = 100_000
      $0.ignoresRange = true
    }
    _ = try store(server).locate("org/repo")
    #expect(arrived == Self.model)
  }

  @Test func aWholePartialFileNeedsNoDownload() throws {
    try leavePartial(Self.model, identity: sha256(Self.model))
    let server = server()
    _ = try store(server).locate("org/repo")
    #expect(arrived == Self.model)
    #expect(server.requests.count == 1)
  }

  @Test func wrongBytesNeverGetTheName() throws {
    let wrong = String(repeating: "0", count: 64)
    let server = server(sha256: wrong)
    let error = #expect(throws: ModelStore.Failure.self) { try store(server).locate("org/repo") }
    guard case .checksum(_, let expected, _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(expected.hasPrefix(wrong))
    #expect(arrived == nil && !cache.exists("hub/org--repo/model.gguf.partial"))
  }

  @Test func aFileChangedAfterwardsIsFetchedAgain() throws {
    let server = server()
    let store = store(server)
    _ = try store.locate("org/repo")
    try cache.write(Array("GGUF damaged".utf8), to: "hub/org--repo/model.gguf")
    #expect(store.cached.isEmpty)
    _ = try store.locate("org/repo")
    #expect(arrived == Self.model)
  }

  @Test func theTokenGoesToTheEndpointOnly() throws {
    let other = LocalServer(["/elsewhere": .init(body: Self.model)])
    // Another port is another origin.
    let server = server { $0.redirect = other.url + "/elsewhere" }
    _ = try store(server, token: "secret").locate("org/repo")
    #expect(arrived == Self.model)
    #expect(server.requests.allSatisfy { $0.fields["authorization"] == "Bearer secret" })
    #expect(other.requests.map { $0.fields["authorization"] } == [nil])
  }

  @Test func concurrentFetchesShareOneDownload() async throws {
    let server = server()
    let store = store(server)
    await withTaskGroup(of: String?.self) { group in
      for _ in 0..<4 { group.addTask { try? store.locate("org/repo").path } }
      for await path in group { #expect(path == cache.path + "/hub/org--repo/model.gguf") }
    }
    #expect(server.requests.filter { $0.path.hasSuffix(".gguf") }.count == 1)
  }

  @Test func whatTheServerLacksIsNamed() throws {
    let server = server()
    let store = store(server)
    for name in ["org/absent", "org/repo:absent.gguf"] {
      let error = #expect(throws: ModelStore.Failure.self) { try store.locate(name) }
      guard case .notAtSource = error else {
        Issue.record("\(name): \(String(describing: error))")
        continue
      }
      #expect(error?.exitCode == 66)
    }
  }

  @Test func noServerIsNoNetwork() throws {
    let environment = ["HF_ENDPOINT": "http://127.0.0.1:9"]
    let store = ModelStore(cache: cache.path, environment: environment)
    let error = #expect(throws: ModelStore.Failure.self) { try store.locate("org/repo") }
    guard case .noNetwork = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(error?.exitCode == 69)
    #expect(error?.description.contains("Check the network") == true)
  }

  @Test func aTooLargeFileIsRefusedBeforeItStarts() throws {
    let listing = """
      {"siblings": [{"rfilename": "model.gguf", "lfs": {"size": \(Int.max / 2), "sha256": "x"}}]}
      """
    let server = LocalServer(["/api/models/org/repo": .init(body: Array(listing.utf8))])
    let error = #expect(throws: ModelStore.Failure.self) { try store(server).locate("org/repo") }
    guard case .noSpace(_, let needed, _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(needed == Int.max / 2 && error?.exitCode == 73)
  }

  @Test func aFolderOfSafetensorsIsFetchedWhole() throws {
    let files = [
      "config.json": Array("{}".utf8), "tokenizer.json": Array("{}".utf8),
      "model.safetensors": [UInt8](repeating: 1, count: 1000),
      "training.bin": [UInt8](repeating: 2, count: 1000),
    ]
    let siblings = files.map { "{\"rfilename\": \"\($0.key)\", \"size\": \($0.value.count)}" }
    let listing = "{\"siblings\": [\(siblings.joined(separator: ","))]}"
    var resources = ["/api/models/org/repo": LocalServer.Resource(body: Array(listing.utf8))]
    for (name, body) in files { resources["/org/repo/resolve/main/\(name)"] = .init(body: body) }
    let server = LocalServer(resources)
    let location = try store(server).locate("org/repo")
    #expect(location.path == cache.path + "/hub/org--repo")
    for (name, body) in files where name != "training.bin" {
      #expect(cache.read("hub/org--repo/\(name)") == body)
    }
    #expect(!cache.exists("hub/org--repo/training.bin"))
  }
}
