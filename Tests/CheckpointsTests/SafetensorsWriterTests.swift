import Checkpoints
import Foundation
import Tensors
import Testing

@Suite struct SafetensorsWriterTests {
  @Test func readsBack() throws {
    let path = FileManager.default.temporaryDirectory.appending(
      path: "writer-\(UUID().uuidString).safetensors"
    ).path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let floats: [Float] = [1, -2.5, .infinity, 0, 7, 8]
    let bytes: [UInt8] = [1, 2, 3]
    var writer = SafetensorsWriter()
    writer.metadata = ["a \"key\"": "line\n\\ü\u{1}"]
    try floats.withUnsafeBytes { floats in
      try bytes.withUnsafeBytes { bytes in
        try writer.add("x.\"y\"", shape: [2, 3], bytes: floats)
        try writer.add("small", type: .int8, shape: [3], bytes: bytes)
        try writer.write(to: path)
      }
    }
    let file = try SafetensorsFile(path: path)
    #expect(file.metadata == writer.metadata)
    #expect(file.tensorNames == ["x.\"y\"", "small"])
    let tensor = try #require(try file.tensor(named: "x.\"y\""))
    #expect(tensor.shape == [2, 3])
    #expect(tensor.dequantized() == floats)
    let small = try #require(try file.tensor(named: "small"))
    #expect(small.withBytes { Array($0) } == bytes)
  }

  @Test func refusals() throws {
    let bytes = [UInt8](repeating: 0, count: 8)
    try bytes.withUnsafeBytes { bytes in
      var writer = SafetensorsWriter()
      try writer.add("x", shape: [2], bytes: bytes)
      #expect(throws: SafetensorsWriter.Failure.duplicate("x")) {
        try writer.add("x", shape: [2], bytes: bytes)
      }
      #expect(
        throws: SafetensorsWriter.Failure.tensor("y", type: .float32, shape: [3], bytes: 8)
      ) { try writer.add("y", shape: [3], bytes: bytes) }
      #expect(
        throws: SafetensorsWriter.Failure.tensor("q", type: .q8_0, shape: [32], bytes: 8)
      ) { try writer.add("q", type: .q8_0, shape: [32], bytes: bytes) }
      #expect(throws: SafetensorsWriter.Failure.self) {
        try writer.write(to: "/nonexistent/folder/x.safetensors")
      }
    }
  }
}
