import Checkpoints
import Foundation
import Testing

@Suite struct MappedFileTests {
  @Test func theBytesAreTheFiles() throws {
    let folder = try TemporaryFolder()
    let content = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let path = try folder.write(content, to: "data")
    let file = try MappedFile(path: path)
    #expect(file.withBytes(Array.init) == content)
    // What was given back is read again.
    file.release()
    #expect(file.withBytes(Array.init) == content)
  }

  @Test func whatCannotBeMappedIsNamed() throws {
    let folder = try TemporaryFolder()
    let missing = folder.path + "/missing"
    #expect(throws: MappedFile.Failure.cannotOpen(path: missing, code: ENOENT)) {
      try MappedFile(path: missing)
    }
    #expect(throws: MappedFile.Failure.isDirectory(path: folder.path)) {
      try MappedFile(path: folder.path)
    }
    let empty = try folder.write([], to: "empty")
    #expect(throws: MappedFile.Failure.empty(path: empty)) { try MappedFile(path: empty) }
    #expect(throws: MappedFile.Failure.notRegular(path: "/dev/null")) {
      try MappedFile(path: "/dev/null")
    }
    let error = MappedFile.Failure.cannotOpen(path: missing, code: ENOENT)
    #expect(error.description == "\(missing): cannot open: No such file or directory")
  }
}

/// A folder that goes with the test.
final class TemporaryFolder {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appending(path: "checkpoints-\(UUID())")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  func write(_ bytes: [UInt8], to name: String) throws -> String {
    let file = URL(filePath: path).appending(path: name)
    try Data(bytes).write(to: file)
    return file.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
