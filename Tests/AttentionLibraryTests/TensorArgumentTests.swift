import AttentionLibrary
import CAttention
import Devices
import Tensors
import Testing

/// A description of memory in the tests' hands.
private func describe(
  _ data: UnsafeMutableRawPointer?, _ type: Int, _ shape: [Int64], _ strides: [Int64]
) -> attention_tensor {
  var tensor = attention_tensor()
  tensor.data = data
  tensor.type = Int32(type)
  tensor.rank = Int32(shape.count)
  withUnsafeMutableBytes(of: &tensor.shape) {
    for (i, n) in shape.prefix(6).enumerated() {
      $0.storeBytes(of: n, toByteOffset: 8 * i, as: Int64.self)
    }
  }
  withUnsafeMutableBytes(of: &tensor.strides) {
    for (i, n) in strides.prefix(6).enumerated() {
      $0.storeBytes(of: n, toByteOffset: 8 * i, as: Int64.self)
    }
  }
  return tensor
}

@Suite struct TensorArgumentTests {
  @Test func anyStridesReadAndWrite() throws {
    let device = try CPUDevice(threads: 2)
    let memory = UnsafeMutablePointer<Float16>.allocate(capacity: 64)
    defer { memory.deallocate() }
    for i in 0..<64 { memory[i] = Float16(i) }
    // Element (i, j) at 40 − 8·i + 2·j.
    var tensor = describe(memory + 40, Int(ATTENTION_FLOAT16), [4, 3], [-8, 2])
    let argument = try TensorArgument(&tensor, "x")
    let scratch = Scratch()
    try withExtendedLifetime(scratch) {
      let rows = try FloatRows(argument, .update, on: device, scratch)
      for i in 0..<4 {
        for j in 0..<3 {
          #expect(rows.view.row(i)[j] == Float(40 - 8 * i + 2 * j))
          rows.view.row(i)[j] = -1
        }
      }
      rows.store()
    }
    let written = (0..<64).filter { memory[$0] == -1 }
    #expect(written == [16, 18, 20, 24, 26, 28, 32, 34, 36, 40, 42, 44])
  }

  @Test func plainFloatsAreUsedWhereTheyLie() throws {
    let device = try CPUDevice(threads: 1)
    let memory = UnsafeMutablePointer<Float>.allocate(capacity: 60)
    memory.initialize(repeating: 0, count: 60)
    defer { memory.deallocate() }
    var tensor = describe(memory, Int(ATTENTION_FLOAT32), [2, 3, 4], [30, 10, 1])
    let rows = try FloatRows(TensorArgument(&tensor, "x"), .read, on: device, Scratch())
    #expect(rows.view.base == memory && rows.view.rows == 6 && rows.view.stride == 10)
  }

  @Test(arguments: [
    ([Int64](), 7, "rank"), ([-1], 1, "axis 0"), ([1 << 41], 1, "axis 0"),
    ([1 << 30, 1 << 30], 2, "address space"), ([4], 1, "NULL"),
  ]) func wildDescriptionsAreRefused(shape: [Int64], rank: Int32, message: String) {
    var tensor = describe(nil, Int(ATTENTION_FLOAT32), shape, shape.map { _ in 1 })
    tensor.rank = rank
    #expect { try TensorArgument(&tensor, "x") } throws: { "\($0)".contains(message) }
  }

  @Test func wildStridesAreRefused() {
    var value: Float = 0
    var tensor = describe(&value, Int(ATTENTION_FLOAT32), [2, 2], [Int64.min, 1])
    #expect { try TensorArgument(&tensor, "x") } throws: { "\($0)".contains("stride") }
  }

  @Test func tensorsGoThroughDLPackAndBack() throws {
    final class Count {
      var releases = 0
    }
    let count = Count()
    var values: [Float] = [1, 2, 3, 4, 5, 6]
    try values.withUnsafeMutableBufferPointer { values in
      var tensor = describe(values.baseAddress, Int(ATTENTION_FLOAT32), [2, 3], [3, 1])
      var managed: OpaquePointer?
      let exported = attention_tensor_to_dlpack(
        &tensor,
        { context in
          guard let context else { return }
          Unmanaged<Count>.fromOpaque(context).takeUnretainedValue().releases += 1
        }, Unmanaged.passUnretained(count).toOpaque(), &managed)
      #expect(exported == 0)
      var back = attention_tensor()
      #expect(attention_tensor_from_dlpack(managed, &back) == 0)
      let argument = try TensorArgument(&back, "x")
      #expect(argument.base == UnsafeMutableRawPointer(values.baseAddress))
      #expect(argument.shape == [2, 3] && argument.stride(0) == 3 && argument.type == .float32)
      #expect(count.releases == 0)
      let pointer = try #require(managed.map { UnsafeMutablePointer<attention_dl_managed>($0) })
      pointer.pointee.deleter?(pointer)
      #expect(count.releases == 1)
    }
  }

  @Test func failuresLeaveAMessage() {
    #expect(attention_plan_run(nil, nil, nil, nil, nil, nil, nil, nil) == 1)
    #expect(String(cString: attention_last_error()) == "plan is NULL")
  }
}
