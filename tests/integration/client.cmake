# The client's unit tests play the supervisor themselves, so they need ZeroMQ beside the library; and
# they do so in a thread.
foreach(source ${unit_tests})
  get_filename_component(name ${source} NAME_WE)
  if(name MATCHES "^test_client")
    target_link_libraries(${name} PRIVATE PkgConfig::ZMQ Threads::Threads)
    set_tests_properties(unit.${name} PROPERTIES LABELS "unit;threads")
  endif()
endforeach()
# A program on the library, for test_client.py.
add_executable(client_driver integration/client_driver.c)
set_target_properties(client_driver PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(client_driver PRIVATE synk Threads::Threads)
# A subscriber, for test_subscriptions.py.
add_executable(subscription_driver integration/subscription_driver.c)
set_target_properties(subscription_driver PROPERTIES
                      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(subscription_driver PRIVATE synk)
