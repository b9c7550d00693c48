# The client's unit tests play the supervisor themselves, so they need ZeroMQ beside the library; and
# they do so in a thread.
foreach(source ${unit_tests})
  get_filename_component(name ${source} NAME_WE)
  if(name MATCHES "^test_client")
    target_link_libraries(${name} PRIVATE PkgConfig::ZMQ Threads::Threads)
    set_tests_properties(unit.${name} PROPERTIES LABELS "unit;threads")
  endif()
endforeach()
