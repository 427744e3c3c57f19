import Devices
import Foundation
import Testing

/// What is compiled once is compiled once, and nothing that is not what was asked for comes back.
@Suite struct CUDAKernelCacheTests {
  private func source(_ text: String, _ architecture: CUDAArchitecture = .sm80) -> CUDASource {
    CUDASource(
      name: "k", text: text, architecture: architecture, entryPoints: ["k"], dynamicSharedBytes: 0,
      threads: 32)
  }

  private func key(_ text: String, _ architecture: CUDAArchitecture = .sm80)
    -> CUDAKernelCache.Key
  {
    CUDAKernelCache.Key(
      source(text, architecture), options: NVRTC.options(for: architecture))
  }

  private func withDirectory(_ body: (URL) throws -> Void) throws {
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("kernel-cache-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: directory) }
    try body(directory)
  }

  @Test func codeOutlivesTheProcess() throws {
    try withDirectory { directory in
      CUDAKernelCache(directory: directory.path).keep([1, 2, 3], for: key("a"), by: "1")
      let later = CUDAKernelCache(directory: directory.path)
      #expect(later.code(for: key("a"), by: "1") == [1, 2, 3])
      #expect(later.code(for: key("b"), by: "1") == nil)
      #expect(later.code(for: key("a", .sm90a), by: "1") == nil)
    }
  }

  @Test func anotherCompilersCodeIsForThoseWithoutOne() throws {
    try withDirectory { directory in
      CUDAKernelCache(directory: directory.path).keep([1, 2, 3], for: key("a"), by: "1")
      for _ in 0..<2 {
        let later = CUDAKernelCache(directory: directory.path)
        #expect(later.code(for: key("a"), by: "2") == nil)
        #expect(later.code(for: key("a"), by: nil) == [1, 2, 3])
        #expect(later.code(for: key("a"), by: "2") == nil)
      }
      let other = CUDAKernelCache(directory: directory.path)
      other.keep([4], for: key("a"), by: "2")
      #expect(other.code(for: key("a"), by: "2") == [4])
      #expect(CUDAKernelCache(directory: directory.path).code(for: key("a"), by: "1") == nil)
      #expect(CUDAKernelCache(directory: directory.path).code(for: key("a"), by: nil) == [4])
    }
  }

  @Test func aDamagedFileIsNoCode() throws {
    try withDirectory { directory in
      CUDAKernelCache(directory: directory.path).keep(
        [UInt8](repeating: 7, count: 100), for: key("a"), by: "1")
      let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
      let file = directory.appendingPathComponent(try #require(names.first))
      let whole = try Data(contentsOf: file)
      for count in stride(from: 0, to: whole.count, by: 13) {
        try whole.prefix(count).write(to: file)
        #expect(CUDAKernelCache(directory: directory.path).code(for: key("a"), by: nil) == nil)
      }
      for place in [3, 40, whole.count - 50, whole.count - 3] {
        var other = whole
        other[place] ^= 1
        try other.write(to: file)
        #expect(CUDAKernelCache(directory: directory.path).code(for: key("a"), by: nil) == nil)
      }
      try whole.write(to: file)
      #expect(CUDAKernelCache(directory: directory.path).code(for: key("a"), by: nil)?.count == 100)
    }
  }

  @Test func aDirectoryThatCannotBeWrittenIsAsGoodAsNone() {
    let cache = CUDAKernelCache(directory: "/proc/no/such")
    cache.keep([5], for: key("a"), by: "1")
    #expect(cache.code(for: key("a"), by: nil) == [5])
  }

  @Test func anAbsentCompilerSaysWhatWasTried() {
    do {
      _ = try NVRTC(path: "/no/such/libnvrtc.so")
      Issue.record("it opened")
    } catch {
      #expect(error == .notFound(tried: ["/no/such/libnvrtc.so"]))
      #expect("\(error)".contains("/no/such/libnvrtc.so"))
    }
    // A library that is another one.
    #expect(throws: NVRTC.Unavailable.missingFunction("nvrtcCreateProgram", library: "libm.so.6")) {
      _ = try NVRTC(path: "libm.so.6")
    }
  }
}
