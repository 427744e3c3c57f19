package import CMicrokernels

/// A tile program as machine code: what `run_tile` does, for one layout of memory, to the same bits (but
/// for which NaN a NaN is).
///
/// Every operation of the program is a few instructions of AVX-512 on values that stay in registers from
/// the first to the last; scores are read and written once.
package final class TileCode: Sendable {
  /// What a run calls.
  package typealias Function = @convention(c) (UnsafePointer<swa_tile_memory>, Int, Int) -> Void

  private let memory: ExecutableMemory
  /// What callers' memory has to look like.
  package let layout: TileLayout
  let readsColumnNumbers: Bool
  let externalCount: Int
  /// Bytes of code and constants.
  package let byteCount: Int

  /// Programs of more steps are interpreted.
  static let longestProgram = 2_048

  /// Compiles a program; `nil` where it has to be interpreted: for another kind of processor, with an
  /// operation that has no code (sines, powers), too large, or without memory that can be executed.
  ///
  /// - Parameters:
  ///   - kept: Registers, from 1 on, whose contents are wanted beside the block.
  ///   - layout: The memory it will run on. The processor must have AVX-512.
  ///   - facts: What is known of the numbers that it reads.
  package init?(
    _ steps: [swa_tile_step], keeping kept: [Int] = [], layout: TileLayout,
    knowing facts: TileFacts = TileFacts()
  ) {
    #if arch(x86_64) && os(Linux)
      guard !steps.isEmpty, steps.count <= Self.longestProgram,
        let code = VectorCode(
          steps, keeping: kept, isOneVector: layout.isOneVector, knowing: facts),
        let bytes = TileAssembly.bytes(code, layout), let memory = ExecutableMemory(bytes)
      else { return nil }
      self.memory = memory
      self.layout = layout
      byteCount = bytes.count
      readsColumnNumbers = steps.contains { swa_tile_reads(swa_tile_op(UInt32($0.op))) }
      externalCount = code.externalCount
    #else
      return nil
    #endif
  }

  /// The code, as long as this lives.
  package var view: View {
    View(
      function: memory.function(Function.self), layout: layout,
      readsColumnNumbers: readsColumnNumbers, externalCount: externalCount)
  }

  /// What a thread needs to run it.
  ///
  /// - Invariant: The `TileCode` outlives the run.
  package struct View: BitwiseCopyable {
    let function: Function
    let layout: TileLayout
    let readsColumnNumbers: Bool
    let externalCount: Int

    /// Runs the program over `rows × width` floats; false, and nothing is done, where the memory is not
    /// laid out as the code supposes.
    @inline(__always)
    package func run(_ memory: UnsafePointer<swa_tile_memory>, rows: Int, width: Int) -> Bool {
      guard layout.describes(memory.pointee), !layout.isOneVector || width == 16,
        !readsColumnNumbers || memory.pointee.positions == nil
      else { return false }
      for i in 0..<externalCount where memory.pointee.externals[i].pitch != layout.externalPitch {
        return false
      }
      function(memory, rows, width)
      return true
    }
  }
}
