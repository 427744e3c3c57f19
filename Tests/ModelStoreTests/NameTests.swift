import ModelStore
import Testing

@Suite struct NameTests {
  @Test func aLocalFileIsTakenAsItIs() throws {
    let folder = try TemporaryFolder()
    let store = ModelStore(cache: folder.path + "/cache", environment: ["HOME": folder.path])
    let gguf = try folder.write(Array("GGUF....".utf8), to: "m.gguf")
    #expect(try store.locate(gguf).path == gguf)
    #expect(try store.locate("~/m.gguf").path == gguf)
    let tensors = try folder.write([2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8), to: "t")
    #expect(try store.locate(tensors).path == tensors)
    try folder.write(Array("{}".utf8), to: "hub/model.safetensors.index.json")
    #expect(try store.locate(folder.path + "/hub").path == folder.path + "/hub")
    #expect(!folder.exists("cache"))
  }

  @Test func whatIsNoModelIsRefused() throws {
    let folder = try TemporaryFolder()
    let store = ModelStore(cache: folder.path, environment: [:])
    for path in [try folder.write(Array("text".utf8), to: "a.gguf"), folder.path] {
      let error = #expect(throws: ModelStore.Failure.self) { try store.locate(path) }
      guard case .notAModel(path, _) = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(error?.exitCode == 65)
    }
  }

  @Test(arguments: [
    "", "nothing", "/no/such/file", "./no.gguf", "no.gguf", "~/no.gguf", "a/b/c", "a/", "/b",
    "a/..", "../b", "org/repo:", "org/repo:../x", "org/repo:a/../b", "org/repo:/etc/passwd",
    "org/re po", "org/repo?x",
  ])
  func wrongNamesAreNotFound(name: String) throws {
    let folder = try TemporaryFolder()
    let store = ModelStore(cache: folder.path, environment: [:])
    let error = #expect(throws: ModelStore.Failure.self) { try store.locate(name) }
    #expect(error == .notFound(name: name, known: store.knownModels.map(\.name)))
    #expect(error?.exitCode == 66)
  }

  @Test func theCacheFollowsTheBaseDirectorySpecification() {
    func cache(_ environment: [String: String]) -> String {
      ModelStore(environment: environment).cache
    }
    #expect(cache(["XDG_CACHE_HOME": "/x", "HOME": "/h"]) == "/x/swift-attention")
    #expect(cache(["XDG_CACHE_HOME": "", "HOME": "/h"]) == "/h/.cache/swift-attention")
    #expect(cache(["XDG_CACHE_HOME": "relative", "HOME": "/h"]) == "/h/.cache/swift-attention")
    #expect(cache(["HOME": "/h"]) == "/h/.cache/swift-attention")
  }

  @Test func theDefaultIsKnown() {
    #expect(ModelStore().knownModels.first?.name == ModelStore.defaultModel)
    for model in ModelStore().knownModels {
      #expect(model.sha256.count == 64 && model.size > 0 && !model.packages.isEmpty)
    }
  }
}
