import Devices
import Foundation
import Testing

/// Where NVIDIA's libraries are looked for, and in which order.
@Suite struct CUDALibraryLookupTests {
  private func withWheels(_ files: [String], _ body: (String) throws -> Void) throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: root) }
    for file in files {
      let url = root.appendingPathComponent(file)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data().write(to: url)
    }
    try body(root.path)
  }

  @Test("A variable names the only file", arguments: CUDALibrary.allCases)
  func variable(library: CUDALibrary) {
    let found = library.candidates { $0 == library.variable ? "/some/file.so" : nil }
    #expect(found == ["/some/file.so"])
  }

  @Test(
    "The loader comes first, then CUDA's folder, then wheels, the newest version before older ones")
  func order() throws {
    let folder = "lib/python3.11/site-packages/nvidia"
    let wheels = [
      "active/\(folder)/cublas/lib/libcublasLt.so.12",
      "active/\(folder)/cu13/lib/libcublasLt.so.13",
      "cache/swift-attention/venv-cuda/\(folder)/nccl/lib/libnccl.so.2",
      "home/.local/\(folder)/cu13/lib/libnvrtc.so.13",
      "active/\(folder)/cu13/lib/libcublasLt.so.11",
    ]
    try withWheels(wheels) { root in
      let paths = wheels.map { "\(root)/\($0)" }
      func candidates(_ library: CUDALibrary) -> [String] {
        library.candidates {
          switch $0 {
          case "VIRTUAL_ENV": root + "/active"
          case "XDG_CACHE_HOME": root + "/cache"
          case "HOME": root + "/home"
          default: nil
          }
        }
      }
      let products = candidates(.cublasLt)
      #expect(products.first == "libcublasLt.so.13")
      #expect(products.contains("/usr/local/cuda/lib64/libcublasLt.so.12"))
      #expect(Array(products.suffix(2)) == [paths[1], paths[0]])
      #expect(candidates(.nccl).first == "libnccl.so.2")
      #expect(candidates(.nccl).last == paths[2])
      #expect(candidates(.nvrtc).last == paths[3])
    }
  }
}
