import Checkpoints
import Tensors
import Testing

@Suite struct GGUFFileTests {
  @Test(arguments: [(UInt32(2), 32), (3, 32), (3, 64), (3, 8)])
  func aWrittenFileIsReadBack(version: UInt32, alignment: Int) throws {
    var writer = GGUFWriter(version: version, alignment: alignment)
    writer.set("general.architecture", .string("llama"))
    writer.set("a.u32", .uint32(7))
    writer.set("a.i32", .int32(-7))
    writer.set("a.u64", .uint64(.max))
    writer.set("a.f32", .float32(0.5))
    writer.set("a.bool", .bool(true))
    writer.set("tokens", .strings(["a", "", "caf\u{E9}", "<|im_end|>"]))
    writer.set("types", .int32s([1, -2, 3]))
    writer.set("scores", .float32s([0.25, -1]))
    writer.add("matrix", shape: [2, 3], float32: [1, 2, 3, 4, 5, 6])
    writer.add("vector", shape: [4], float16: [1, -2, 0.5, 65504])
    writer.add("brain", shape: [2, 1, 2], bfloat16: [1, -2, 3, 0.25])
    writer.add("blocks", .q8_0, shape: [1, 64], bytes: [UInt8](repeating: 1, count: 68))
    let file = try writer.opened()

    #expect(file.version == Int(version))
    #expect(file.alignment == alignment)
    #expect(file.metadata["general.architecture"]?.string == "llama")
    #expect(try file.integer("a.u32") == 7)
    #expect(try file.integer("a.i32") == -7)
    #expect(file.metadata["a.u64"]?.integer == nil)
    #expect(try file.number("a.u64") == Double(UInt64.max))
    #expect(try file.number("a.f32") == 0.5)
    #expect(try file.bool("a.bool"))
    let tokens = try file.array("tokens")
    #expect(tokens.count == 4 && tokens.strings == ["a", "", "caf\u{E9}", "<|im_end|>"])
    #expect(tokens.string(at: 3) == "<|im_end|>")
    #expect(tokens.string(at: 4) == nil && tokens.string(at: -1) == nil)
    #expect(tokens.withUTF8(at: 2) { Array($0) } == [0x63, 0x61, 0x66, 0xC3, 0xA9])
    #expect(tokens.integers == nil && tokens.floats == nil && tokens.bools == nil)
    #expect(try file.array("types").integers == [1, -2, 3])
    #expect(try file.array("scores").floats == [0.25, -1])

    #expect(file.tensorNames == ["matrix", "vector", "brain", "blocks"])
    let matrix = try #require(file.tensor(named: "matrix"))
    #expect(matrix.shape == [2, 3] && matrix.rows == 2 && matrix.columns == 3)
    #expect(matrix.dequantized() == [1, 2, 3, 4, 5, 6])
    #expect(try #require(file.tensor(named: "vector")).dequantized() == [1, -2, 0.5, 65504])
    #expect(try #require(file.tensor(named: "brain")).dequantized() == [1, -2, 3, 0.25])
    #expect(file.tensor(named: "absent") == nil)
    for tensor in file.tensors {
      let offset = try #require(tensor.bytes.baseAddress) - #require(file.file.bytes.baseAddress)
      #expect(offset % alignment == 0 && offset >= file.dataStart)
    }
  }

  @Test func aTensorOutlivesItsFile() throws {
    var writer = GGUFWriter()
    writer.add("t", shape: [3], float32: [1, 2, 3])
    let tensor = try #require(try writer.opened().tensor(named: "t"))
    #expect(tensor.dequantized() == [1, 2, 3])
  }

  @Test func missingOrMistypedMetadataIsNamed() throws {
    var writer = GGUFWriter()
    writer.set("name", .string("x"))
    let file = try writer.opened(name: "f.gguf")
    let missing = #expect(throws: GGUFFile.Malformed.self) { try file.integer("no") }
    #expect(missing?.problem == .missingKey("no") && missing?.path == "f.gguf")
    let mistyped = #expect(throws: GGUFFile.Malformed.self) { try file.integer("name") }
    #expect(
      mistyped?.problem == .wrongType(key: "name", found: .string, expected: "an integer"))
  }
}
